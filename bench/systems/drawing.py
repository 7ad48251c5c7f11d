"""W as a drawing: samples a second, and CPU a sample, a bar each."""
import statistics
from xml.sax.saxutils import escape

WIDTH, LEFT, BAR, GAP, TOP = 900, 330, 18, 12, 48
PANELS = (('samples_per_s', 'samples/s', lambda value: f'{value / 1e6:.2f} M'),
          ('cpu_us_per_sample', 'CPU us a sample', lambda value: f'{value:.2f}'))
STYLE = """<style>text { font: 13px sans-serif; fill: #222 } .h { font-weight: bold } .b { fill: #8aa5c2 }
.o { fill: #c2602f } .r { stroke: #222; stroke-width: 1.5 } svg { background: #fff }</style>"""


def draw(results, systems, path, runs_of, good):
    """False: there is nothing to draw. Bars are medians, thin lines the lowest to the highest."""
    rows = [(cls, runs_of(results, name, 'plain')) for name, cls in systems.items()]
    rows = [(cls, runs) for cls, runs in rows if good(runs, 'samples_per_s')]
    if not rows:
        return False
    panel = (WIDTH - LEFT) // len(PANELS)
    height = TOP + len(rows) * (BAR + GAP) + 10
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
             'aria-label="Workload W: samples a second and CPU a sample of each system">', STYLE,
             f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>']
    for line, (cls, _) in enumerate(rows):
        y = TOP + line * (BAR + GAP) + BAR - 4
        parts.append(f'<text x="{LEFT - 10}" y="{y}" text-anchor="end">{escape(cls.title.split(" (")[0])}</text>')
    for number, (name, text, show) in enumerate(PANELS):
        x, room = LEFT + number * panel, panel - 80
        most = max(max(good(runs, name)) for _, runs in rows)
        parts.append(f'<text class="h" x="{x}" y="24">{text}</text>')
        for line, (cls, runs) in enumerate(rows):
            values, y = good(runs, name), TOP + line * (BAR + GAP)
            middle, low, high = (value / most * room for value in
                                 (statistics.median(values), min(values), max(values)))
            parts.append(f'<rect class="{"o" if cls.name.startswith("poise") else "b"}" x="{x}" y="{y}" '
                         f'width="{middle:.1f}" height="{BAR}"/>'
                         f'<line class="r" x1="{x + low:.1f}" x2="{x + high:.1f}" y1="{y + BAR / 2}" '
                         f'y2="{y + BAR / 2}"/>'
                         f'<text x="{x + high + 6:.1f}" y="{y + BAR - 4}">{show(statistics.median(values))}</text>')
    with open(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join([*parts, '</svg>', '']))
    return True
