#!/bin/sh
# The CURVE keys of a shop whose bus is TCP: one a program. Does nothing to those that are there.
set -eu
keys=${1:?usage: keys.sh FOLDER}

key() {
  name=$1
  shift
  [ -e "$keys/$name.secret" ] || zmart keys new "$name" --keys "$keys" "$@"
}

key gateway --role gateway
key product-svc --role worker --services product --calls order,event
key order-svc --role worker --services order --calls product,event
key user-svc --role worker --services user --calls event
key event-svc --role worker --services event
key webhook-svc --role worker --services webhook --calls event
key mail-svc --role worker --services mail --calls event,user
key operator --role operator
key tap --role subscriber
