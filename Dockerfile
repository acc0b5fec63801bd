# One image with every binary of ours; what a container does is its command. See docs/compose.md.

FROM rust:1.95-slim-bookworm AS build
# librdkafka, aws-lc and zstd are compiled from the sources that their crates carry. Of them librdkafka asks for a C++ compiler.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make \
 && rm -rf /var/lib/apt/lists/*
# The image's own toolchain, without the components that only CI needs. Function names stay, for backtraces.
ENV RUSTUP_TOOLCHAIN=1.95.0 CARGO_PROFILE_DIST_DEBUG=none CARGO_PROFILE_DIST_STRIP=debuginfo
WORKDIR /mayday
COPY . .
RUN cargo build --profile dist --locked --bins \
      --package log-core --package producer-api --package ws-gateway --package analytics-batch --package mayday \
 && mkdir /out \
 && for binary in log-core producer-api ws-gateway analytics-batch mayday; do cp "target/dist/$binary" /out/; done

FROM debian:bookworm-slim
# For health checks: succeeds when the service on a port of this container says that it is ready.
RUN printf '%s\n' '#!/bin/bash' \
      'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET /readyz HTTP/1.0\r\n\r\n" >&3 && grep -q "^HTTP/1.. 200" <&3' \
      > /usr/local/bin/ready \
 && chmod 755 /usr/local/bin/ready \
 && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin mayday \
 && install --directory --owner mayday --group mayday --mode 0700 /data /outbox \
 && install --directory --owner mayday --group mayday /reports
COPY --from=build /out/ /usr/local/bin/
USER mayday
STOPSIGNAL SIGTERM
CMD ["mayday", "--host", "0.0.0.0", "--data", "/data"]
