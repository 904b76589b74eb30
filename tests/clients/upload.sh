#!/bin/sh
# Uploads FILE as a draft, in chunks: what a careful person writes with curl. It ends with 0 if the draft is there.
# usage: API=URL TOKEN=BEARER upload.sh FILE
set -eu
file=$1
chunk_size=10485760
size=$(wc -c <"$file" | tr -d ' ')
if [ "$size" -lt $((2 * chunk_size)) ]; then
  chunk_size=$size
fi
count=$((size / chunk_size))
part=$(mktemp)
trap 'rm -f "$part"' EXIT

# --retry repeats what was answered 408, 429 or 5xx, and what took too long.
ask() {
  curl -sS --fail --retry 3 --retry-delay 1 --connect-timeout 10 --max-time 60 "$@"
}

call() {
  ask "$API$1" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json; charset=UTF-8' --data-binary "$2"
}

field() {
  sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

init=$(call /v2/post/publish/inbox/video/init/ "{\"source_info\": {\"source\": \"FILE_UPLOAD\",
  \"video_size\": $size, \"chunk_size\": $chunk_size, \"total_chunk_count\": $count}}")
publish_id=$(printf %s "$init" | field publish_id)
upload_url=$(printf %s "$init" | field upload_url)

index=0
while [ "$index" -lt "$count" ]; do
  first=$((index * chunk_size))
  last=$((first + chunk_size - 1))
  if [ "$index" -eq $((count - 1)) ]; then
    last=$((size - 1))
  fi
  tail -c "+$((first + 1))" "$file" | head -c "$((last - first + 1))" >"$part"
  ask -o /dev/null -X PUT "$upload_url" -H 'Content-Type: video/mp4' -H "Content-Range: bytes $first-$last/$size" \
    --data-binary "@$part"
  index=$((index + 1))
done

# Half a minute is more than the inbox needs here.
for _ in $(seq 30); do
  case $(call /v2/post/publish/status/fetch/ "{\"publish_id\": \"$publish_id\"}" | field status) in
  SEND_TO_USER_INBOX | PUBLISH_COMPLETE) exit 0 ;;
  FAILED) exit 1 ;;
  esac
  sleep 1
done
exit 1
