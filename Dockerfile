# Two images from one recipe: `service` (API and MLflow, without torch) and `worker` (with it).

FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# What is installed changes seldom, the code often: it comes last.
FROM base AS service-build
RUN python -m venv /opt/evenhand
COPY docker/service.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/evenhand/bin/pip install --quiet --require-hashes -r /tmp/service.txt

FROM service-build AS worker-build
COPY docker/worker.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/evenhand/bin/pip install --quiet --require-hashes -r /tmp/worker.txt

FROM base AS wheel
COPY docker/build.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/build && /opt/build/bin/pip install --quiet --require-hashes -r /tmp/build.txt
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY loss loss
COPY sweep sweep
COPY service service
COPY worker worker
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel .

FROM service-build AS service-installed
COPY --from=wheel /wheel /wheel
RUN /opt/evenhand/bin/pip install --quiet --no-deps --no-index /wheel/*.whl

FROM worker-build AS worker-installed
COPY --from=wheel /wheel /wheel
RUN /opt/evenhand/bin/pip install --quiet --no-deps --no-index /wheel/*.whl

# Nobody in particular, at home in the folders that volumes are mounted on and nowhere else.
FROM base AS runtime
RUN useradd --uid 10001 --no-create-home --home-dir /tmp evenhand && \
    install --directory --owner evenhand --group evenhand /data /data/datasets /artifacts /secrets
ENV PATH=/opt/evenhand/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib EVENHAND_DATA_DIR=/data
WORKDIR /tmp
USER evenhand

FROM runtime AS service
COPY --from=service-installed /opt/evenhand /opt/evenhand
CMD ["uvicorn", "--factory", "service.app:create_app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log"]

FROM runtime AS worker
COPY --from=worker-installed /opt/evenhand /opt/evenhand
CMD ["python", "-m", "worker"]
