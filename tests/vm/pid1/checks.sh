. /bin/check.sh

make_orphans() {
    for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        sh -c '(setsid sh -c "sleep 0.2" &)'
    done
}

check "tmd is PID 1" grep -qx tmd /proc/1/comm
check "programs run" eventually 30 state_is steady:1 RUNNING
check "status reaches PID 1 through the environment" tm status steady

old=$(column steady:0 3)
other=$(column steady:1 3)
check "kill -9 from outside" kill -9 "$old"
check "it runs again with another pid" eventually 10 replaced steady:0 "$old"
check "its sibling kept its pid" test "$(column steady:1 3)" = "$other"

check "create orphans of orphans" make_orphans
check "they exit" eventually 20 sh -c '! pidof sleep | tr " " "\n" | while read p; do
    tr "\0" " " <"/proc/$p/cmdline" 2>/dev/null; echo; done | grep -q "^sleep 0.2"'
check "they leave no zombie" eventually 10 no_zombies

check "stop" tm stop steady
check "status of a stopped process exits with 3" \
    fails_with 3 tm status steady
check "start again" tm start steady
check "stop a process that ignores SIGTERM" tm stop stubborn
check "it is STOPPED" state_is stubborn:0 STOPPED
check "no such process" fails_with 1 tm stop unknown
check "doctor" tm doctor
tm doctor 2>&1 | sed 's/^/# doctor: /' >/dev/console
check "reload without a change" tm reload
check "no zombie at the end" eventually 10 no_zombies
finish 1
kill -TERM 1
