# Keeps one PostgreSQL server. Called as: sh -c THIS keeper FOLDER COMMAND…, where the command starts the server.
#
# It obeys the lines it reads (`start PORT`, `kill`, `stop`) and answers each with one line. When there is nobody left to give orders (the pipe is
# closed: whoever started us let go of it, or was killed), it ends the server and removes the folder.
folder=$1
shift
server=

# A process that is over: not there, or waiting only to be asked for its exit code.
over() {
    ! kill -0 "$1" 2>/dev/null || grep -qs '^State:[[:space:]]*Z' "/proc/$1/status"
}

# Waits until every process of a list is over; fails after some 30 s.
all_over() {
    looks=0
    for process in $1; do
        until over "$process"; do
            looks=$((looks + 1))
            [ "$looks" -lt 1500 ] || return 1
            sleep 0.02
        done
    done
}

# Its sessions and helpers, each a child of the server.
children() {
    cat "/proc/$server/task/$server/children" 2>/dev/null || pgrep -P "$server"
}

start() {
    "$@" </dev/null >>"$folder/log" 2>&1 &
    server=$!
    looks=0
    # The file's first line says whose it is: a server that was killed leaves its own.
    until [ "$(sed -n '1p;8p' "$folder/data/postmaster.pid" 2>/dev/null | tr -d ' \n')" = "${server}ready" ]; do
        looks=$((looks + 1))
        if over "$server"; then
            wait "$server"
            answer="ended with exit code $?"
            server=
            return
        elif [ "$looks" -gt 1500 ]; then
            answer="not ready after a minute"
            return
        fi
        sleep 0.04
    done
    answer="ready $server"
}

# No chance to tidy up, for any of them. Held first, so that it begets no more while we count.
kill_all() {
    kill -STOP "$server"
    all="$server $(children)"
    kill -KILL $all 2>/dev/null
    all_over "$all" && answer=gone || answer="still there: $all"
    wait "$server" 2>/dev/null
    server=
}

# With this signal, or without a chance if it does not heed it.
end() {
    kill "-$1" "$server"
    if all_over "$server"; then
        wait "$server" 2>/dev/null
        server=
        answer=gone
    else
        kill_all
    fi
}

# Answers that nobody reads any more must not end us.
trap '' PIPE
while read -r order port; do
    # It may have ended without us.
    if [ -n "$server" ] && over "$server"; then
        wait "$server" 2>/dev/null
        server=
    fi
    answer="there is no server"
    case $order in
    start) if [ -z "$server" ]; then start "$@" -p "$port"; else answer="ready $server"; fi ;;
    kill) [ -z "$server" ] || kill_all ;;
    stop) [ -z "$server" ] || end INT ;;
    esac
    echo "$answer"
done
[ -z "$server" ] || end QUIT
# Of a server that was killed, the system keeps a small block of shared memory: its number is in the seventh line.
block=$(sed -n 7p "$folder/data/postmaster.pid" 2>/dev/null)
[ -z "$block" ] || ipcrm -m "${block##* }" 2>/dev/null
# Somebody may still be at work on it, such as the one who makes the data.
looks=0
until rm -rf "$folder" 2>/dev/null || [ "$looks" -gt 1500 ]; do
    looks=$((looks + 1))
    sleep 0.02
done
