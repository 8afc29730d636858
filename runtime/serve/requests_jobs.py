"""Jobs: begun, looked at, cancelled, resumed and thrown away."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from runtime.serve import metrics, models
from runtime.serve.answers import Box
from runtime.serve.errors import RefusedError
from runtime.serve.jobs import MOST, Job
from runtime.serve.service import Service, version

router = APIRouter(tags=["jobs"])


@router.get("/api/health")
def health(box: Box) -> models.Health:
    """Is the box at work?"""
    manifest, trouble = box.worker.manifest, box.worker.trouble
    return models.Health(
        status="trouble" if trouble else "ok",
        trouble=trouble,
        version=version(),
        engine=models.Engine(
            name=manifest.model.architecture,
            precision=manifest.precision,
            size=[manifest.input.height, manifest.input.width],
        ),
        waiting=len(box.jobs.next()),
        running=box.worker.running,
        free_bytes=box.free_bytes(),
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {metrics.TYPE: {}}}})
def measured(box: Box) -> Response:
    """In Prometheus's text format."""
    return Response(metrics.text(box), media_type=metrics.TYPE)


@router.get("/api/pairs")
def pairs(box: Box) -> list[models.Pair]:
    """Those in the inbox folder that are complete: NAME_pre.EXT and NAME_post.EXT."""
    return [
        models.Pair(name=each.name, pre=each.pre.name, post=each.post.name)
        for each in box.pairs.all()
    ]


@router.post("/api/jobs", status_code=201)
def begin(asked: models.NewJob, box: Box) -> models.Job:
    """Map two images: of uploads that are whole, or of a pair in the inbox."""
    by_images = asked.pre is not None and asked.post is not None and asked.pair is None
    by_pair = asked.pair is not None and asked.pre is None and asked.post is None
    if by_images:
        assert asked.pre
        assert asked.post
        pre = box.image("pre", asked.pre.upload, asked.pre.pair)
        post = box.image("post", asked.post.upload, asked.post.pair)
    elif by_pair:
        pre, post = (box.image(role, None, asked.pair) for role in ("pre", "post"))
    else:
        raise RefusedError(400, "expected pre and post, or a pair")
    job = box.jobs.add(asked.name or asked.pair or post.name, pre, post)
    if job is None:
        raise RefusedError(429, f"there are {MOST} jobs; delete some")
    return _told(box, job)


@router.get("/api/jobs")
def jobs(box: Box) -> list[models.Job]:
    """Newest first."""
    return [models.Job(**each) for each in box.all_told()]


@router.get("/api/jobs/{id}")
def one(id: str, box: Box) -> models.Job:
    """How far a job is."""
    return _told(box, box.job(id))


@router.post("/api/jobs/{id}/cancel")
def cancel(id: str, box: Box) -> models.Job:
    """One that runs ends after the window that is being computed; what is done of it stays."""
    return _told(box, box.worker.cancel(box.job(id)))


@router.post("/api/jobs/{id}/resume")
def resume(id: str, box: Box) -> models.Job:
    """One that was cancelled goes on where it was; one that failed is tried again."""
    return _told(box, box.worker.resume(box.job(id)))


@router.delete("/api/jobs/{id}", status_code=204)
def delete(id: str, box: Box) -> Response:
    """With its maps, corrections and uploads; refused while it runs."""
    box.worker.delete(box.job(id))
    box.forget(id)
    return Response(status_code=204)


def _told(box: Service, job: Job) -> models.Job:
    told: dict[str, Any] = box.told(job)
    return models.Job(**told)
