"""What a server measures of itself, in Prometheus's text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from runtime.serve.service import Service

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STATES = ("waiting", "running", "done", "failed", "cancelled")


def text(box: Service) -> str:
    return "".join(_lines(box))


def _lines(box: Service) -> Iterator[str]:
    worker, jobs = box.worker, box.jobs.all()
    states: Counter[str] = Counter(job.state for job in jobs)
    yield from _family(
        "jobs", "gauge", "Jobs by state.", {f'{{state="{each}"}}': states[each] for each in _STATES}
    )
    yield from _one("jobs_mapped_total", "counter", "Jobs mapped since the start.", worker.mapped)
    yield from _one("jobs_failed_total", "counter", "Jobs failed since the start.", worker.failed)
    yield from _one(
        "windows_total", "counter", "Windows dealt with since the start.", worker.windows
    )
    yield from _one(
        "mapping_seconds_total", "counter", "Seconds spent on jobs since the start.", worker.seconds
    )
    yield from _one("queue_length", "gauge", "Jobs that wait.", states["waiting"])
    yield from _one("trouble", "gauge", "1 where no job can be mapped.", int(bool(worker.trouble)))
    yield from _one("disk_free_bytes", "gauge", "Room on the disk of the data.", box.free_bytes())
    uploads = box.uploads.all()
    yield from _one("uploads", "gauge", "Uploads that are kept.", len(uploads))
    yield from _one(
        "upload_bytes", "gauge", "Bytes announced by them.", sum(each.size for each in uploads)
    )
    yield from _one(
        "corrections", "gauge", "Buildings corrected in all maps.",
        sum(box.corrected(job) for job in jobs),
    )  # fmt: skip


def _one(name: str, kind: str, about: str, value: float) -> Iterator[str]:
    yield from _family(name, kind, about, {"": value})


def _family(name: str, kind: str, about: str, values: dict[str, float]) -> Iterator[str]:
    full = f"dual_hrnet_{name}"
    yield f"# HELP {full} {about}\n# TYPE {full} {kind}\n"
    for labels, value in values.items():
        yield f"{full}{labels} {value}\n"
