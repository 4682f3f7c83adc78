# The API service. Its binary is built outside and enters by the stage `prebuilt` (scripts/images/stage.sh lays the context, scripts/images/build.sh builds);
# any base with glibc and libgcc will do: docker build -f images/api.Dockerfile --build-arg BASE=... target/images/context
ARG BASE=debian:bookworm-slim

FROM scratch AS prebuilt
COPY certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY bin/wtt-api /usr/local/bin/wtt-api

FROM ${BASE}
COPY --from=prebuilt / /
# What a new volume of Docker's takes its owner from.
COPY --chown=65532:65532 data /data
ENV WTT_LISTEN=0.0.0.0:8000 WTT_ADMIN_LISTEN=0.0.0.0:9090 WTT_DATA_DIR=/data SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 8000 9090
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/wtt-api"]
