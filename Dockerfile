# One image for every program: `docker run IMAGE zmart up --host 0.0.0.0`, or `broker`, `gateway`, `order-svc` ...
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
      build-essential meson ninja-build pkg-config libzmq3-dev libczmq-dev libmsgpack-dev libcivetweb-dev libjwt-dev \
      libmongoc-dev libjansson-dev libsqlite3-dev libsodium-dev libhiredis-dev libcurl4-openssl-dev libwslay-dev \
      libutf8proc-dev uthash-dev libcmocka-dev \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN meson setup /build /src && ninja -C /build \
      cli/zmart broker/broker gateway/gateway product-svc/product-svc order-svc/order-svc user-svc/user-svc event-svc/event-svc \
      webhook-svc/webhook-svc mail-svc/mail-svc \
    && install -D -t /out /build/cli/zmart /build/broker/broker /build/gateway/gateway /build/product-svc/product-svc \
      /build/order-svc/order-svc /build/user-svc/user-svc /build/event-svc/event-svc /build/webhook-svc/webhook-svc /build/mail-svc/mail-svc

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libzmq5 libmsgpackc2 libcivetweb1 libjwt0 libjansson4 libsqlite3-0 libmongoc-1.0-0 libsodium23 libssl3 libwslay1 libutf8proc2 libcurl4 ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* && useradd --system --home /var/lib/zmart zmart && install -d -o zmart -m 0700 /var/lib/zmart /keys
COPY --from=build /out/ /usr/local/bin/
USER zmart
VOLUME /var/lib/zmart
ENV ZMART_DATA=/var/lib/zmart MONGOC_DISABLE_SHM=1
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD curl -fsS http://127.0.0.1:8080/readyz || exit 1
CMD ["zmart", "up", "--host", "0.0.0.0"]
