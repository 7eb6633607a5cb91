#!/usr/bin/env bash
# Compresses a model on a service with curl: sends it, waits for the job, fetches the bundle.
#
#   ./compress.sh http://127.0.0.1:8080 model.onnx bundle.zip ['{"preset": "paper"}']
#
# SPARSEBOOK_API_KEY is sent where it is set. The same model and config make one job however often
# this runs, until that is deleted. Exit status: 0 done; 3 the job ended
# without what was asked for, its problem on standard error; 1 anything else.
set -euo pipefail
service=$1 model=$2 bundle=$3 config=${4:-'{}'}

call() {
    curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused \
        ${SPARSEBOOK_API_KEY:+--header "Authorization: Bearer $SPARSEBOOK_API_KEY"} "$@"
}

# The value of a key of the JSON object on standard input.
value() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

key=$({ cat "$model"; printf '%s' "$config"; } | sha256sum | cut -d ' ' -f 1)
job=$(call --header "Idempotency-Key: $key" --form "model=@$model" --form-string "config=$config" "$service/compress")
id=$(value id <<<"$job")

while state=$(value state <<<"$job") && [[ $state == queued || $state == running ]]; do
    job=$(call "$service/jobs/$id?wait=30")
done
if [[ $state != succeeded ]]; then
    echo "$job" >&2
    exit 3
fi
call --output "$bundle" "$service/jobs/$id/artifact"
echo "$bundle"
