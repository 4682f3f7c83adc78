# What `helm test` runs, with bash and nothing else: HTTP over /dev/tcp. Reads HOST, PORT, KEY, TRANSCRIBE and TIMEOUT.
set -euo pipefail

# request METHOD PATH [FILE CONTENT-TYPE]: prints the answer, headers and all.
request() {
    exec 3<>"/dev/tcp/$HOST/$PORT"
    printf '%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n' "$1" "$2" "$HOST" "$KEY" >&3
    if [ $# -gt 2 ]; then
        printf 'Content-Type: %s\r\nContent-Length: %s\r\n\r\n' "$4" "$(wc -c <"$3")" >&3
        cat "$3" >&3
    else
        printf '\r\n' >&3
    fi
    tr -d '\r' <&3
    exec 3>&-
}

status() { sed -n '1s/^HTTP\/1.1 \([0-9]*\).*/\1/p'; }

expect() {
    local answer=$1 wanted=$2 what=$3 got
    got=$(status <<<"$answer")
    [ "$got" = "$wanted" ] || { printf 'FAILED: %s: %s instead of %s\n%s\n' "$what" "$got" "$wanted" "$answer"; exit 1; }
    printf 'passed: %s\n' "$what"
}

expect "$(request GET /readyz)" 200 "the API is ready"
expect "$(request GET /api/v1/models)" 200 "the key is known"
[ "$TRANSCRIBE" = true ] || exit 0

# A second of A3 as 8-bit samples at 8 kHz: a square wave, which no library is needed for.
wave() {
    printf 'RIFF\x64\x1f\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x40\x1f\x00\x00'
    local i high low
    high=$(for ((i = 0; i < 18; i++)); do printf '\\xa0'; done)
    low=$(for ((i = 0; i < 18; i++)); do printf '\\x60'; done)
    for ((i = 0; i < 222; i++)); do printf '%b' "$high$low"; done
    printf '\x80\x80\x80\x80\x80\x80\x80\x80'
}
boundary=whatsthetab-test
{
    printf -- '--%s\r\nContent-Disposition: form-data; name="audio"; filename="tone.wav"\r\nContent-Type: audio/wav\r\n\r\n' "$boundary"
    wave
    printf '\r\n--%s--\r\n' "$boundary"
} >/tmp/body
answer=$(request POST /api/v1/transcriptions /tmp/body "multipart/form-data; boundary=$boundary")
expect "$answer" 202 "a recording is taken"
id=$(sed -n 's/.*"id": *"\([0-9a-zA-Z-]*\)".*/\1/p' <<<"$answer" | head -n 1)

until=$((SECONDS + TIMEOUT))
while :; do
    answer=$(request GET "/api/v1/transcriptions/$id")
    state=$(sed -n 's/.*"state": *"\([a-z]*\)".*/\1/p' <<<"$answer" | head -n 1)
    case $state in
        succeeded) printf 'passed: %s is transcribed after %s s\n' "$id" "$SECONDS"; break ;;
        created | queued | running) ;;
        *) printf 'FAILED: %s ended as "%s"\n%s\n' "$id" "$state" "$answer"; exit 1 ;;
    esac
    [ $SECONDS -lt "$until" ] || { printf 'FAILED: %s is still %s after %s s: do workers come? kubectl get workerpools,pods\n' "$id" "$state" "$TIMEOUT"; exit 1; }
    sleep 1
done
expect "$(request DELETE "/api/v1/transcriptions/$id")" 204 "it is deleted again"
