# The fine-tuning worker's environment. onnxruntime-training owns the module name `onnxruntime`, so it lives in an image
# of its own and meets the service only through files.
# From the project's root: docker build -f docker/trainer.Dockerfile -t sparsebook-trainer .

FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/sparsebook
COPY Makefile ./
COPY requirements requirements
RUN make .venv-trainer

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home sparsebook \
    && install --directory --owner=sparsebook --group=sparsebook /data
COPY --from=build /opt/sparsebook/.venv-trainer /opt/sparsebook/.venv-trainer
ENV PATH=/opt/sparsebook/.venv-trainer/bin:$PATH PYTHONUNBUFFERED=1
USER sparsebook
WORKDIR /data
VOLUME /data
# A release that cannot be imported here must not become an image.
RUN python -c "import onnxruntime; assert onnxruntime.__version__.startswith('1.19.2')"
ENTRYPOINT ["python"]
