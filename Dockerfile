# Build:  docker build -t ws-load-test .
# Run:    docker run --rm --network host ws-load-test ws://localhost:3001 -c 100 -d 10s
# Keep:   docker run --rm --network host -v "$PWD:/work" --user "$(id -u)" ws-load-test ws://localhost:3001 -d 10s -o run.jsonl

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY docs/ws-load-test.1 ./docs/
COPY cmake/CMakeLists.txt ./cmake/
COPY src ./src
# For the compiled engine; without a compiler the image would have the portable one alone.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
# Only wheels, but for the project itself, which is built from its sources.
RUN python -m venv /opt/ws-load-test \
 && /opt/ws-load-test/bin/pip install --no-cache-dir --only-binary :all: --no-binary ws-load-test '.[html,prometheus,otlp,tls]' \
 && /opt/ws-load-test/bin/pip uninstall --yes pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="ws-load-test" \
      org.opencontainers.image.description="A load generator for WebSocket APIs" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/ws-load-test /opt/ws-load-test
ENV PATH=/opt/ws-load-test/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes' runAsNonRoot can check it without a look-up.
USER 10001:10001
# Recordings and reports are written here: mount a directory of yours.
WORKDIR /work
ENTRYPOINT ["ws-load-test"]
CMD ["--help"]
