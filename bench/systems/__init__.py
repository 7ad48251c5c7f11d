"""The systems that bench/peers compares, by name."""
from .clickhouse import ClickHouse
from .influx import Influx
from .poise import Poise, Poise1, Poise100
from .postgres import Postgres
from .prometheus import Prometheus, VictoriaMetrics, VictoriaMetricsJson

SYSTEMS = {system.name: system for system in (
    Poise, ClickHouse, VictoriaMetricsJson, VictoriaMetrics, Prometheus, Influx, Postgres, Poise100, Poise1)}
DEFAULT = ('poise', 'clickhouse', 'victoria-json', 'victoria', 'prometheus', 'influx', 'postgres')
