# Runs on a Linux host without Python: tries TCP connections open-loop and prints what it sees. bash 4 or newer with /dev/tcp.
# Set before it: period, limit (µs), lifetime (s), attempts (of each series; 0: until it ends), names (JSON). Called after it: series HOST PORT SAY READS for each, then measure.
#   SAY: what to send, as printf's octal escapes. READS: 1 when an answer is waited for, 0 when the connect alone is one.
# Prints what harness/remote/agents/spool_reader.py reads, but for answers, which it cannot judge: outcome h, and the bytes in hexadecimal.
# Before an attempt whose local address is known: l SERIES AT ADDRESS, as /proc/net/tcp has it.
# An attempt that is given up in the moment of its end may be told twice: the first counts. Nothing is left behind: it ends with its
# input, on `stop`, after its lifetime, and when the host's clock was set. No process but bash itself is needed for an attempt, but for
# the port of one that was answered: a busy host would feel them.

hosts=() ports=() says=() reads=() pids=() begins=() whose=()
series() { hosts+=("$1") ports+=("$2") says+=("$3") reads+=("$4"); }

if [[ ${EPOCHREALTIME:-} ]]; then
    # read once: seconds and microseconds of two readings are a second apart where one second ends between them
    now() { now=$EPOCHREALTIME; now=${now%[.,]*}${now#*[.,]}; }
else
    now() { now=$(date +%s%N); now=${now%???}; }
fi
# seconds with a point, of µs
seconds() { printf -v seconds '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000)); }
# how far the clock that is read is from the one that nobody can set, to 10 ms
apart() { read -r up _ </proc/uptime; now; apart=$((now - 10#${up%.*}${up#*.} * 10000)); }

# Runs with the connection as its fd 3: $1 which series, $2 its beginning.
talk() {
    local outcome=a detail='' port=0 address='' byte code=0 left hex
    if [[ ${reads[$1]} = 1 ]]; then
        outcome=h
        printf "${says[$1]}" >&3
        now
        left=$((limit - now + $2))
        [[ $left -gt 1000 ]] || left=1000
        seconds "$left"
        IFS= read -r -d '' -n 1 -t "$seconds" byte <&3 || code=$?
        now
        # the rest comes at once or not at all; a byte 0 reads as empty
        while [[ $code = 0 && ${#detail} -lt 4096 ]]; do
            printf -v hex '%d' "'$byte"
            printf -v hex '%02x' $((hex & 255))
            detail+=$hex
            IFS= read -r -d '' -n 1 -t 0.01 byte <&3 || code=$?
            # its time is over, too, where bash itself was kept waiting: what is there is read all the same
            if [[ $code -gt 128 ]] && read -r -t 0 <&3; then
                code=0
                IFS= read -r -d '' -n 1 -t 1 byte <&3 || code=$?
            fi
        done
        if [[ $code -gt 128 && ! $detail ]]; then outcome=s detail='accepted, but not answered'; fi
    else
        now
    fi
    [[ $outcome = s ]] || port_of
    [[ $address ]] && echo "l $1 $(($2 - t0)) $address" >&5
    echo "s $1 $(($2 - t0)) $((now - $2)) $outcome $port $detail" >&5
}

# The local address and port of fd 3, by the inode of its socket.
port_of() {
    local inode='' key value line
    while read -r key value; do [[ $key = ino: ]] && inode=$value; done <"/proc/$BASHPID/fdinfo/3"
    if [[ ! $inode ]]; then inode=$(readlink "/proc/$BASHPID/fd/3"); inode=${inode//[!0-9]/}; fi
    line=$(grep -m 1 " $inode " /proc/net/tcp) || return
    line=${line#*: }
    address=${line%%:*} line=${line#*:}
    port=$((16#${line%% *}))
}

attempt() {
    local complaint outcome=u detail
    now
    # a busy host's silence is not the path's: an attempt that could not begin in time is none
    if [[ $((now - $2)) -gt 50000 ]]; then
        echo "s $1 $(($2 - t0)) 0 k 0 its host was too busy to begin it in time"
        return
    fi
    complaint=$({ { talk "$1" "$2"; } 3<>"/dev/tcp/${hosts[$1]}/${ports[$1]}"; } 2>&1) && return
    now
    detail=${complaint##*: }
    case $complaint in
        '') outcome=x ;; # ended by SIGPIPE: it was closed before we spoke
        *refused*) outcome=r detail='' ;;
        *'timed out'*) outcome=s detail='' ;;
        *reset*|*'Broken pipe'*) outcome=x detail='' ;;
        *'assign requested'*|*'open files'*|*fork*|*memory*) outcome=k ;;
    esac
    echo "s $1 $(($2 - t0)) $((now - $2)) $outcome 0 ${detail//$'\n'/ }"
}

# Nothing but the connect waits without an end of its own: that is ended here.
give_up() {
    local kept=() i how
    for i in "${!pids[@]}"; do
        if ! kill -0 "${pids[$i]}" 2>/dev/null; then continue; fi
        if [[ $((now - begins[i])) -gt $((limit + 100000)) ]]; then
            kill -KILL -- "-${pids[$i]}" 2>/dev/null
            how='s 0 '
            [[ $((now - begins[i])) -gt $((limit + 100000 + period + period / 2)) ]] && how='k 0 its host was too busy to tell'
            echo "s ${whose[$i]} $((begins[i] - t0)) $limit $how"
        else
            kept+=("$i")
        fi
    done
    local p=() b=() w=()
    for i in "${kept[@]}"; do p+=("${pids[$i]}") b+=("${begins[$i]}") w+=("${whose[$i]}"); done
    pids=("${p[@]}") begins=("${b[@]}") whose=("${w[@]}")
}

# Answers pings and waits for the end of the input, which is the end of everything.
listen() {
    local word number
    while read -r word number; do
        case $word in
            ping) kill -0 $$ 2>/dev/null || exit 0; now; seconds "$now"; echo "p $number $seconds $seconds" ;;
            stop) break ;;
        esac
    done
    kill -TERM $$ 2>/dev/null
}

measure() {
    local reason='' ticks=0 late=0 worst=0 behind missed i
    set -m # a group of its own for each attempt, so that it can be ended with all that it started
    exec 5>&1 2>/dev/null 8<&0 </dev/null
    apart
    local steady=$apart next=$now told=$now made=0
    t0=$now
    seconds "$t0"
    echo "h running"
    echo "a {\"t0\": $seconds, \"wall\": $seconds, \"pid\": $$, \"series\": $names}"
    trap 'reason="it was asked to stop"' TERM
    listen <&8 &
    local listener=$!
    exec 8<&-
    while [[ ! $reason ]]; do
        now
        behind=$((now - next)) missed=$(((now - next) / period))
        ticks=$((ticks + 1 + missed)) late=$((late + missed))
        [[ $((behind - missed * period)) -gt $((period / 2)) ]] && late=$((late + 1))
        [[ $behind -gt $worst ]] && worst=$behind
        for i in "${!hosts[@]}"; do
            now
            attempt "$i" "$now" &
            pids+=($!) begins+=("$now") whose+=("$i")
        done
        give_up
        made=$((made + 1))
        if [[ $made = "$attempts" ]]; then break; fi
        next=$((next + period * (1 + missed)))
        if [[ $((now - told)) -ge 1000000 ]]; then
            echo "n $((now - t0)) $ticks $late $worst -1 -1"
            told=$now ticks=0 late=0 worst=0
            apart
            i=$((apart - steady))
            [[ ${i#-} -gt 50000 ]] && reason='the clock of its host was set'
            [[ $((now - t0)) -gt $((lifetime * 1000000)) ]] && reason='its lifetime is over'
        fi
        now
        if [[ $now -lt $next ]]; then seconds $((next - now)); sleep "$seconds"; fi
    done
    kill -KILL -- "-$listener"
    seconds $((limit + 150000))
    sleep "$seconds"
    now
    give_up
    now
    i=true
    [[ $reason = *'was set' ]] && i=false
    echo "e {\"at\": $((now - t0)), \"reason\": \"$reason\", \"final\": $i, \"samples\": 0}"
    echo x
}
