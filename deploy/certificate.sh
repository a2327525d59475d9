#!/bin/sh
# A self-signed certificate to begin with: certificate.sh FOLDER HOST. Leaves one that is there alone.
set -eu
folder=${1:?usage: certificate.sh FOLDER HOST}
host=${2:?usage: certificate.sh FOLDER HOST}
[ -e "$folder/shop.key" ] && exit 0
mkdir -p "$folder"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj "/CN=$host" \
  -addext "subjectAltName=DNS:$host,DNS:localhost" -keyout "$folder/shop.key" -out "$folder/shop.crt"
# nginx in its container runs as 101: it has to be able to read the key
chmod 644 "$folder/shop.key"
