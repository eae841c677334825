. /bin/check.sh

tm() {
    command tm -c /etc/taskmaster.yaml "$@"
}

answers() {
    tm status >/dev/null 2>&1 || [ $? = 3 ]
}

# Seconds since boot: no clock that is set changes it.
monotonic() {
    cut -d. -f1 /proc/uptime
}

# within SECONDS COMMAND...: it succeeds and takes no longer.
within() {
    limit=$1
    began=$(monotonic)
    shift
    "$@" || return 1
    took=$(($(monotonic) - began))
    [ "$took" -le "$limit" ] || { echo "took $took s"; return 1; }
}

uptime_of() {
    tm status "$1" --json | sed 's/.*"uptime_s":\([0-9]*\).*/\1/'
}

# Uptime is what has passed since the start, whatever the clock says.
sane_uptime() {
    shown=$(uptime_of steady)
    real=$(($(monotonic) - steady_began))
    [ "$shown" -ge $((real - 3)) ] && [ "$shown" -le $((real + 3)) ] ||
        { echo "uptime $shown, $real in truth"; return 1; }
}

# Since a sane start and a sane uptime add up to now, started_at follows the clock.
sane_start() {
    started=$(tm status steady --json | sed 's/.*"started_at":"\([^"]*\)".*/\1/')
    told=$(date -u -D '%Y-%m-%dT%H:%M:%S' -d "${started%.*}" +%s)
    sum=$((told + $(uptime_of steady) - $(date +%s)))
    [ "$sum" -ge -3 ] && [ "$sum" -le 3 ] || { echo "$started: off by $sum s"; return 1; }
}

# fresh TIMES: the newest line has the time that it is now.
fresh() {
    stamp=$(tail -n 1 /tmp/ticks | cut -d. -f1 | cut -d' ' -f1)
    told=$(date -u -D '%Y-%m-%dT%H:%M:%S' -d "${stamp%Z}" +%s)
    off=$(($(date +%s) - told))
    [ "$off" -ge -3 ] && [ "$off" -le 3 ] || { echo "$stamp: off by $off s"; return 1; }
}

fails_for_good() {
    fails_with 1 tm start failing
    state_is failing:0 FATAL
}

stops_by_force() {
    tm start stubborn && tm stop stubborn
}

ticks_on() {
    before=$(wc -l </tmp/ticks)
    eventually 5 more_ticks
}

more_ticks() {
    [ "$(wc -l </tmp/ticks)" -gt $((before + 5)) ]
}

check "init starts tmd, which answers" eventually 30 answers
steady_began=$(($(monotonic) - $(uptime_of steady)))
pid=$(column steady:0 3)
ticker=$(column ticker:0 3)

jump() {
    check "the clock is set $1" date -s "@$(($(date +%s) + $2))"
    check "$1: output goes on" ticks_on
    check "$1: lines have the new time" eventually 5 fresh
    check "$1: uptime goes on" sane_uptime
    check "$1: the start is told by the new clock" sane_start
    check "$1: retries come when they are due" within 30 fails_for_good
    check "$1: SIGKILL comes after stoptime" within 30 stops_by_force
    check "$1: a timeout is as long as it says" within 30 fails_with 124 \
        tm wait steady --for stopped --timeout 2s
    check "$1: nobody was restarted" \
        test "$(column steady:0 3) $(column ticker:0 3)" = "$pid $ticker"
}

jump "an hour forward" 3600
jump "an hour back" -3600
jump "a year forward" 31536000
jump "a year back" -31536000

said_in_time() {
    eventually 30 grep -q "$1" "$2" || { cat "$2"; return 1; }
}

user_tm() {
    command tm --socket /tmp/user/tmd.sock "$@"
}

user_pid() {
    user_tm status steady | awk '$1 == "steady:0" { print $3 }'
}

follows() {
    user_tm reload
    grep -q reload /tmp/events
}

user_runs() {
    pid=$(user_pid)
    [ -n "$pid" ] && [ "$pid" != - ] && [ "$pid" != "$1" ]
}

# The system's table of open files is full. Root does not notice, so the daemon is a user's. It
# can take no new client meanwhile, so one is there before.
mkdir -p /tmp/user
cat >/tmp/user/taskmaster.yaml <<'YAML'
daemon: {socket: /tmp/user/tmd.sock}
programs:
  steady: {cmd: sleep 44444, starttime: 0, autorestart: always, startretries: 100}
YAML
chown -R 65534:65534 /tmp/user
check "an ordinary user has a daemon of their own" env -i PATH=/bin HOME=/tmp/user \
    su -p -s /bin/sh nobody -c "tm up -d -c /tmp/user/taskmaster.yaml"
check "its program runs" eventually 30 user_runs none
old=$(user_pid)
user_tm events -f >/tmp/events 2>&1 &
check "somebody follows" eventually 30 follows
limit=$(cat /proc/sys/fs/file-max)
echo 10 >/proc/sys/fs/file-max
kill -9 "$old"
check "ENFILE is told by name" said_in_time "Too many open files in system" /tmp/events
user_tm status >/tmp/waited 2>&1 &
echo "$limit" >/proc/sys/fs/file-max
check "its program is back by itself" eventually 30 user_runs "$old"
check "who came meanwhile is served, if late" said_in_time steady:0 /tmp/waited
check "it ends in order" user_tm down
finish
poweroff -f
