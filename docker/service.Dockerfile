# The service: HTTP, durable jobs, storage, and the compressor in the same process tree. Fine-tuning is the business of
# docker/trainer.Dockerfile, on the same /data.
# From the project's root: docker build -f docker/service.Dockerfile -t sparsebook .

FROM python:3.11-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile pyproject.toml ./
COPY requirements requirements
COPY compressor compressor
COPY runtime runtime
COPY service service
RUN make install PREFIX=/opt/sparsebook

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home sparsebook \
    && install --directory --owner=sparsebook --group=sparsebook /data
COPY --from=build /opt/sparsebook /opt/sparsebook
# A container is reached from outside, so it asks for API keys. The first one:
# docker run --rm -v DATA:/data sparsebook sparsebook keys create --name ci --data-dir /data
ENV PATH=/opt/sparsebook/bin:$PATH PYTHONUNBUFFERED=1 SPARSEBOOK_ACCESS=keys
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["sparsebook", "serve", "--host", "0.0.0.0", "--port", "8000", "--data-dir", "/data"]
