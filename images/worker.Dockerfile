# A worker with libtorch and the weights of Basic Pitch. The context decides between CPU and CUDA: its folder lib-cuda is
# empty, or holds libtorch's CUDA side (scripts/images/stage.sh). The driver's libraries come from the node (NVIDIA's runtime), not from here.
ARG BASE=debian:bookworm-slim

FROM scratch AS prebuilt
COPY bin/wtt-worker /usr/local/bin/wtt-worker

FROM ${BASE}
# From what changes least to what changes most, so that an update moves megabytes: libtorch, weights, our binary.
COPY lib /usr/local/lib
COPY lib-cuda /usr/local/lib-cuda
COPY certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY models /opt/whatsthetab/models
COPY --from=prebuilt / /
# Our binary knows where libtorch lies; libsoxr, which it also names, does not know that its OpenMP lies there too.
ENV LD_LIBRARY_PATH=/usr/local/lib
ENV WTT_MODELS_DIR=/opt/whatsthetab/models SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/wtt-worker"]
