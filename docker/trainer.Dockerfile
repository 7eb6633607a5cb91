# The fine-tuning worker: the product, which takes trainings from the queue, and beside it the trainer's own environment, in
# which onnxruntime-training owns the module name `onnxruntime`. They meet through files alone.
# From the project's root: docker build -f docker/trainer.Dockerfile -t sparsebook-trainer .
# For an NVIDIA GPU: docker build -f docker/trainer.Dockerfile --build-arg TRAINER=trainer-cuda -t sparsebook-trainer-cuda .
# and docker run --gpus all.

FROM python:3.11-slim-bookworm AS build
ARG TRAINER=trainer
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/sparsebook
COPY Makefile pyproject.toml ./
COPY requirements requirements
COPY runtime runtime
# The trainer is linked to its sources, so it is built where it will stand.
RUN make .venv-trainer TRAINER=$TRAINER
COPY compressor compressor
COPY service service
RUN make install PREFIX=/opt/sparsebook/.venv

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home sparsebook \
    && install --directory --owner=sparsebook --group=sparsebook /data
COPY --from=build /opt/sparsebook/.venv /opt/sparsebook/.venv
COPY --from=build /opt/sparsebook/.venv-trainer /opt/sparsebook/.venv-trainer
COPY --from=build /opt/sparsebook/runtime/training /opt/sparsebook/runtime/training
# The CUDA build finds the libraries of its lock here; in the CPU image the folders do not exist.
ARG NVIDIA=/opt/sparsebook/.venv-trainer/lib/python3.11/site-packages/nvidia
ENV LD_LIBRARY_PATH=$NVIDIA/cublas/lib:$NVIDIA/cuda_runtime/lib:$NVIDIA/cudnn/lib:$NVIDIA/cufft/lib:$NVIDIA/curand/lib:$NVIDIA/cuda_nvrtc/lib \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/opt/sparsebook/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
# A trainer that does not start must not become an image.
RUN /opt/sparsebook/.venv-trainer/bin/python -P -m sparsebook_training --help
CMD ["sparsebook", "worker", "--queue", "finetune", "--data-dir", "/data"]
