# Runs on a Windows host without Python: measures TCP connections open-loop, every 50 ms or coarser, and prints what it sees.
# Windows PowerShell 5.1 or newer, no administrator. $plan: series [{id, destination, port, period, limit, say, expect, again (base64)}],
# lifetime, max_open. Steal and load are not known here: -1. Lines, times in microseconds since t0, as harness/remote/scripts/agent.py has them:
#   h running; a {header}; s SERIES AT TOOK OUTCOME PORT DETAIL; n AT TICKS LATE WORST STEAL LOAD; e {end}; x
# It answers each line `ping N` with `p N MONOTONIC WALL`, and ends with its input, on `stop`, or after its lifetime.
$ErrorActionPreference = 'Stop'
$inv = [Globalization.CultureInfo]::InvariantCulture
$latin = [Text.Encoding]::GetEncoding(28591)
$frequency = [double][Diagnostics.Stopwatch]::Frequency
$epoch = [DateTime]::new(1970, 1, 1, 0, 0, 0, [DateTimeKind]::Utc)
$least = 0.05
# By the names that .NET gives socket errors on every platform (WNET-62); any other is 'u', with its name.
$outcomes = @{
    ConnectionRefused = 'r'; TimedOut = 's'; ConnectionReset = 'x'; ConnectionAborted = 'x'; Shutdown = 'x'; AddressAlreadyInUse = 'k'
    AddressNotAvailable = 'k'; NoBufferSpaceAvailable = 'k'; TooManyOpenSockets = 'k'
}
$meanings = @{
    AccessDenied = 'a filter of this host itself forbids it'; NetworkDown = 'this host''s own NIC is down'
    ConnectionAborted = 'given up by this host, not reset by the other'
}
# Below build 16299 there is no 'none': 254 may be taken for a number, and no refusal be told in time. The least is one (WNET-60).
$build = [Environment]::OSVersion.Version.Build
$retransmissions = if ([Environment]::OSVersion.Platform -eq [PlatformID]::Win32NT -and $build -lt 16299) { 1 } else { 254 }

function Mono { [Diagnostics.Stopwatch]::GetTimestamp() / $frequency }
# Where UtcNow moves in steps (15.6 ms on Windows PowerShell: WNET-92) it is right in the moment of a step.
function Find-Edge {
    $begin = Mono
    $first = [DateTime]::UtcNow
    do { $second = [DateTime]::UtcNow } while ($second.Ticks -eq $first.Ticks -and (Mono) - $begin -lt 0.2)
    $edge.Mono = Mono
    $edge.Wall = ($second - $epoch).TotalSeconds
    $edge.Step = ($second - $first).TotalSeconds
}
# The wall clock, from its last known step on by the monotonic one; where the two have parted, as when it was set, the next step is waited for.
function Wall {
    $behind = $edge.Wall + (Mono) - $edge.Mono - ([DateTime]::UtcNow - $epoch).TotalSeconds
    if ($behind -lt -0.002 -or $behind -gt $edge.Step + 0.002) { Find-Edge }
    $edge.Wall + (Mono) - $edge.Mono
}
function Micros([double]$seconds) { [long][Math]::Round($seconds * 1000000) }
function Say([string]$line) { [Console]::Out.Write($line + "`n") }
function Record($attempt, [string]$outcome, [string]$detail) {
    $took = (Mono) - $attempt.At
    if ($attempt.Socket) { $attempt.Socket.Close() }
    $words = $detail -replace '\s+', ' '
    Say ('s {0} {1} {2} {3} {4} {5}' -f $attempt.Series.Number, (Micros ($attempt.At - $t0)), (Micros $took), $outcome, $attempt.Port, $words)
    $sum.Samples++
    $attempt.Over = $true
}
function Lost($attempt, $failure) {
    while ($failure.InnerException) { $failure = $failure.InnerException }
    $name = if ($failure -is [Net.Sockets.SocketException]) { "$($failure.SocketErrorCode)" } else { $failure.GetType().Name }
    $outcome = if ($outcomes.ContainsKey($name)) { $outcomes[$name] } else { 'u' }
    $detail = if ($meanings.ContainsKey($name)) { '{0}: {1}' -f $name, $meanings[$name] } else { $name }
    if ($name -eq 'ConnectionRefused' -or $name -eq 'ConnectionReset') { $detail = '' }
    Record $attempt $outcome $detail
}
function Begin-Attempt($series) {
    $attempt = @{ Series = $series; At = (Mono); Socket = $null; Port = 0; Connecting = $null; Said = $false; Heard = ''; Over = $false }
    if ($open.Count -ge $plan.max_open) { Record $attempt 'k' 'too many sockets are open already'; return }
    try {
        $attempt.Socket = [Net.Sockets.Socket]::new([Net.Sockets.AddressFamily]::InterNetwork, [Net.Sockets.SocketType]::Stream, [Net.Sockets.ProtocolType]::Tcp)
        $attempt.Socket.LingerState = [Net.Sockets.LingerOption]::new($true, 0)
        # Windows asks again for a second after a refusal; SIO_TCP_INITIAL_RTO with no retransmission, or one, makes it tell sooner
        if ($series.AtOnce) {
            try { [void]$attempt.Socket.IOControl(-1744830447, [byte[]](255, 255, $retransmissions, 0), $null) }
            catch { $series.AtOnce = $false }
        }
        $attempt.Socket.Bind([Net.IPEndPoint]::new([Net.IPAddress]::Any, 0))
        $attempt.Port = $attempt.Socket.LocalEndPoint.Port
        $attempt.At = Mono
        $attempt.Connecting = $attempt.Socket.BeginConnect($series.Target, $null, $null)
        [void]$open.Add($attempt)
    }
    catch { Lost $attempt $_.Exception }
}
function Look-At($attempt, [double]$now) {
    try {
        if ($attempt.Connecting) {
            if ($attempt.Connecting.IsCompleted) {
                $attempt.Socket.EndConnect($attempt.Connecting)
                $attempt.Connecting = $null
                if ($attempt.Series.Words.Length) { [void]$attempt.Socket.Send($attempt.Series.Words) }
                if (-not $attempt.Series.Expect) { Record $attempt 'a' ''; return }
            }
        }
        if (-not $attempt.Connecting -and $attempt.Socket.Poll(0, [Net.Sockets.SelectMode]::SelectRead)) {
            $count = $attempt.Socket.Receive($buffer)
            if ($count -eq 0) { Record $attempt 'x' $(if ($attempt.Heard) { 'closed after another answer' } else { 'closed without a word' }); return }
            $attempt.Heard += $latin.GetString($buffer, 0, $count)
            if ($attempt.Series.Expect.IsMatch($attempt.Heard)) {
                Record $attempt 'a' ''
                return
            }
            if ($attempt.Series.Again -and $attempt.Series.Again.IsMatch($attempt.Heard)) {
                $attempt.Heard = ''
                [void]$attempt.Socket.Send($attempt.Series.Words)
            }
            if ($attempt.Heard.Length -gt 16384) { $attempt.Heard = $attempt.Heard.Substring($attempt.Heard.Length - 16384) }
        }
        if ($now - $attempt.At -ge $attempt.Series.Limit) {
            $where = if ($attempt.Connecting) { '' } else { 'accepted, but not answered' }
            Record $attempt 's' $where
        }
    }
    catch { Lost $attempt $_.Exception }
}

$edge = @{ Mono = 0.0; Wall = 0.0; Step = 0.0 }
Find-Edge
$pause = [Threading.ManualResetEvent]::new($false)
# How long the shortest wait really is: it ends with the system's tick, and what is answered meanwhile is seen that much later (WNET-89).
$waits = @(foreach ($i in 1..5) { $begin = Mono; [void]$pause.WaitOne(2); (Mono) - $begin })
$tick = @($waits | Sort-Object)[2]
$t0 = Mono
$number = 0
$allSeries = @(foreach ($asked in $plan.series) {
        $again = if ($asked.again) { [Text.RegularExpressions.Regex]::new($latin.GetString([Convert]::FromBase64String($asked.again))) } else { $null }
        $pattern = if ($asked.expect) { [Text.RegularExpressions.Regex]::new($latin.GetString([Convert]::FromBase64String($asked.expect))) } else { $null }
        @{
            Number = $number; Period = [Math]::Max($least, [double]$asked.period); Limit = [double]$asked.limit; AtOnce = $true
            Target = [Net.IPEndPoint]::new([Net.IPAddress]::Parse($asked.destination), [int]$asked.port)
            Words = [Convert]::FromBase64String("$($asked.say)"); Expect = $pattern; Again = $again; Next = 0.0
        }
        $number++
    })
$open = [Collections.ArrayList]::new()
$buffer = [byte[]]::new(4096)
$typed = [byte[]]::new(4096)
$sum = @{ Samples = 0 }
$ticks = 0
$late = 0
$worst = 0.0
$told = $t0
$reason = ''
$rest = ''

Say 'h running'
$wall = (Wall) - ((Mono) - $t0)
$ids = @($plan.series | ForEach-Object { "$($_.id)" })
Say ('a ' + (ConvertTo-Json -Compress -InputObject @{ t0 = $t0; wall = $wall; pid = $PID; series = $ids; least = $least; tick = $tick; step = $edge.Step }))
if ($retransmissions -ne 254) {
    $words = 'build {0} of Windows knows no connection without a second SYN: a refusal is told some half a second later' -f $build
    Say ('v ' + (ConvertTo-Json -Compress -InputObject @{ at = 0; kind = 'asks-again'; text = $words; data = @{} }))
}
$standard = [Console]::OpenStandardInput()
$reading = $standard.BeginRead($typed, 0, $typed.Length, $null, $null)
for ($i = 0; $i -lt $allSeries.Count; $i++) { $allSeries[$i].Next = $t0 + $allSeries[$i].Period * $i / $allSeries.Count }

while (-not $reason) {
    if ($reading.IsCompleted) {
        $count = $standard.EndRead($reading)
        if ($count -eq 0) { $reason = 'its input ended'; break }
        $lines = ($rest + $latin.GetString($typed, 0, $count)) -split "`n"
        $rest = $lines[-1]
        foreach ($line in @($lines | Select-Object -SkipLast 1)) {
            if ($line -match '^ping (\d+)') {
                $wall = Wall
                Say ('p {0} {1} {2}' -f $matches[1], (Mono).ToString('F9', $inv), $wall.ToString('F9', $inv))
            }
            elseif ($line -match '^stop') { $reason = 'it was asked to stop' }
        }
        $reading = $standard.BeginRead($typed, 0, $typed.Length, $null, $null)
    }
    $now = Mono
    if ($now - $t0 -ge $plan.lifetime) { $reason = 'its lifetime is over' }
    foreach ($series in $allSeries) {
        if ($now -ge $series.Next) {
            $behind = $now - $series.Next
            $missed = [Math]::Floor($behind / $series.Period)
            $ticks += 1 + $missed
            $late += $missed
            if ($behind - $missed * $series.Period -gt $series.Period / 2) { $late++ }
            if ($behind -gt $worst) { $worst = $behind }
            Begin-Attempt $series
            # ticks that were missed are not made up for: they would all measure the same moment
            $series.Next += $series.Period * (1 + $missed)
        }
    }
    foreach ($attempt in @($open)) {
        Look-At $attempt (Mono)
        if ($attempt.Over) { $open.Remove($attempt) }
    }
    if ($now - $told -ge 1) {
        Say ('n {0} {1} {2} {3} -1 -1' -f (Micros ($now - $t0)), $ticks, $late, (Micros $worst))
        $ticks = 0
        $late = 0
        $worst = 0.0
        $told = $now
    }
    [void]$pause.WaitOne(2)
}
foreach ($attempt in @($open)) { $attempt.Socket.Close() }
Say ('e ' + (ConvertTo-Json -Compress -InputObject @{ at = (Micros ((Mono) - $t0)); reason = $reason; final = $true; samples = $sum.Samples }))
Say 'x'
