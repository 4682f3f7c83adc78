# The operator. See api.Dockerfile for how the binary gets in.
ARG BASE=debian:bookworm-slim

FROM scratch AS prebuilt
COPY certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY bin/wtt-operator /usr/local/bin/wtt-operator

FROM ${BASE}
COPY --from=prebuilt / /
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/wtt-operator"]
CMD ["run"]
