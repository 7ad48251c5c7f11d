#!/usr/bin/python3
"""The golden bytes of the wire protocol, made with Google's protobuf and so without any code of Poise.

    make_golden.py OUT_DIR            checks that every *.hex file here holds exactly these messages
    make_golden.py OUT_DIR --write    writes them anew (after a change of the protocol that is meant)

A file's first line is the head frame, the others are the body. OUT_DIR takes what protoc generates."""
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
NAN = float("nan")
STORE = bytes(range(0xA0, 0xB0))
EPOCH = 0x1122334455667788
NOON = 1772366400000  # 2026-03-01T12:00:00Z


def states(pb):
    measure = pb.State(
        org="plant-1/line-3", node="production/process/quality/rejects", name="Reject ratio", kind=pb.MEASURE,
        value=0.025, attainment=112.5, score=100, lo=100, hi=100, coverage=1, filled=1, status=pb.GREEN,
        count=120, weight=2, trend=-3.5, flags=1, period_ms=[1769900400000, 1772319600000],
        as_of_ms=NOON, definition=7, revision=2, replaced=87.5, cause=1234567890123)
    root = pb.State(
        org="", node="production", name="Produktion Süd", kind=pb.SCORECARD, value=NAN, attainment=NAN,
        score=62.5, lo=50, hi=75, coverage=0.75, filled=0.75, status=pb.AMBER, uncertain=True, count=-1,
        weight=1, trend=NAN, flags=0, as_of_ms=NOON, definition=7)
    first = pb.State(
        org="plant-2", node="production/process", name="Process", kind=pb.PERSPECTIVE, value=NAN, attainment=NAN,
        score=40, lo=40, hi=40, coverage=1, filled=1, status=pb.AMBER, count=-1, weight=1, trend=NAN,
        as_of_ms=NOON, definition=7, revision=1, replaced=NAN, cause=1)
    return [measure, root, first]


def messages(pb):
    """Name of the file: kind, message."""
    return {
        "hello": (1, pb.Hello(
            producer="line-3.mes", epoch=EPOCH, next_seq=42, last_hash=0xFEDCBA9876543210, store_id=STORE,
            incarnation=9, software="poise-collector 0.1.0", forked_epoch=0x8877665544332211)),
        "welcome": (2, pb.Welcome(
            store_id=STORE, incarnation=9, epoch=EPOCH, next_seq=43, last_hash=0x0123456789ABCDEF, credit=16,
            max_batch_bytes=262144, max_batch_rows=16384, max_batch_symbols=65536,
            hashes=[0xFEDCBA9876543210, 0, 0x0123456789ABCDEF], takes_spool=True)),
        "batch": (3, pb.Batch(
            epoch=EPOCH, seq=43, symbols=["rejects", "plant-1/line-3", "mes", "order-1", "", "order-ü"],
            series_measure=[0, 0], series_org=[1, 4], series_source=[2, 4], base_time_ms=NOON,
            series=[0, 0, 1, 0], time_delta_ms=[0, 60000, -3600000, 0], value=[3, 2.5, -0.125, 0],
            of=[120, 100, 1, 1], key=[4, 0, 6, 4], row_seq=[7, 0, 0, 8], retract=[False, False, False, True])),
        "batch_plain": (3, pb.Batch(
            epoch=EPOCH, seq=44, symbols=["throughput", "plant-1", ""], series_measure=[0], series_org=[1],
            base_time_ms=NOON, series=[0, 0, 0], time_delta_ms=[0, 1000, 1000], value=[10, 11, 12.75])),
        "loss": (3, pb.Batch(
            epoch=EPOCH, seq=45, loss=pb.Loss(
                last_seq=300, rows=256000, from_ms=NOON - 86400000, to_ms=NOON, reason=pb.LOSS_OLDEST,
                last_hash=0x0123456789ABCDEF))),
        "ack": (4, pb.Ack(
            epoch=EPOCH, seq=43, credit=16, refusals=[
                pb.Refusal(seq=42, row=17, reason=8), pb.Refusal(seq=43, row=0xFFFFFFFF, reason=16)])),
        "gap": (5, pb.Gap(epoch=EPOCH, expected=43)),
        "spool": (46, pb.Spool(bytes=1234567, age_ms=65000)),
        "error": (6, pb.Error(id=5, code=10, text="there is no scorecard `sales`")),
        "subscribe": (16, pb.Subscribe(
            id=5, filter=pb.Filter(scorecards=["production"], orgs=["", "plant-1/**"], nodes=["production/process"],
                                   kinds=[pb.OBJECTIVE, pb.MEASURE], changes=6),
            least_interval_ms=250, credit=8, once=True, from_lsn=997, from_revised=3, from_view=0x0102030405060708)),
        "credit": (17, pb.Credit(id=5, more=4)),
        "unsubscribe": (18, pb.Unsubscribe(id=5)),
        "snapshot": (19, pb.Snapshot(
            id=5, lsn=1000, as_of_ms=NOON, last=True, states=states(pb)[:2], view=0x0102030405060708, more=True)),
        "update": (20, pb.Update(id=5, lsn=1003, prev=1000, as_of_ms=NOON, states=states(pb)[1:], more=True, part=True)),
        "query": (24, pb.Query(
            id=6, scorecard="production", org="plant-1", all_orgs=True, as_of_ms=-86400000, history=True, credit=2)),
        "result": (25, pb.Result(id=6, lsn=1003, last=True, states=states(pb)[:1])),
        "stats_request": (26, pb.StatsRequest(id=7)),
        "dump": (36, pb.Dump(
            id=8, measure="rejects", org="plant-1/**", from_ms=-86400000, to_ms=NOON, keyed=True,
            cursor=bytes(range(0x10, 0x18)))),
        "rows": (37, pb.Rows(
            id=8, batch=pb.Batch(
                epoch=1, seq=1, symbols=["rejects", "plant-1", "mes", "order-1"], series_measure=[0], series_org=[1],
                series_source=[2], base_time_ms=NOON, series=[0, 0], time_delta_ms=[0, 1000], value=[3, 4.5],
                key=[4, 0]).SerializeToString(deterministic=True),
            place_delta=[1234567890123, 2], cursor=bytes(range(0x20, 0x28)), done=17, total=1003, dropped_ms=NOON)),
        "losses_request": (40, pb.LossesRequest(id=9)),
        "losses": (41, pb.Losses(
            id=9, losses=[
                pb.LossRecord(
                    producer="line-3.mes", epoch=EPOCH, first_seq=45, last_seq=300, rows=256000,
                    from_ms=NOON - 86400000, to_ms=NOON, reason=pb.LOSS_OLDEST, lsn=1003, as_of_ms=NOON + 5),
                pb.LossRecord(
                    producer="line-3.mes", epoch=EPOCH, first_seq=302, last_seq=302, reason=pb.LOSS_FORKED,
                    lsn=1004, as_of_ms=NOON + 6)],
            left_out=17)),
        "changes": (42, pb.Changes(
            id=9, filter=pb.Filter(nodes=["production"], kinds=[pb.SCORECARD], changes=4), cursor=bytes(range(0x30, 0x38)),
            after_lsn=1000)),
        "changed": (43, pb.Changed(
            id=9, states=states(pb)[:2], lsn_delta=[1003, 2], time_delta_ms=[NOON, -1], number=[4096, 1],
            cursor=bytes(range(0x40, 0x48)), whole=True, last=True, done=1005, total=1010)),
        "stats": (27, pb.Stats(id=7, name=["batches_total", "store_used_bytes"], value=[43, 65536])),
    }


def text_of(kind, message):
    body = message.SerializeToString(deterministic=True)
    lines = [bytes([1, kind])] + [body[at:at + 32] for at in range(0, len(body), 32)]
    return "".join(line.hex() + "\n" for line in lines)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={out}", "poise.proto"], check=True)
    sys.path.insert(0, str(out))
    import poise_pb2 as pb
    wanted = {f"{name}.hex": text_of(kind, message) for name, (kind, message) in messages(pb).items()}
    if "--write" in sys.argv[2:]:
        for name, text in wanted.items():
            (HERE / name).write_text(text)
        return 0
    found = {path.name: path.read_text() for path in HERE.glob("*.hex")}
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    print(f"{len(wanted)} messages, differing: {', '.join(differing) or 'none'}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
