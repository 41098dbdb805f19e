<#
.SYNOPSIS
Opens connections from this host to one address and port, and tells what became of each: a row each, in the order in which they began.
.DESCRIPTION
One begins every so many milliseconds, whatever the others do; as many as are asked for, and no more. Nothing is said on them, and they are
closed with RST, which leaves no TIME_WAIT. Outcome is "answered", "silent" when the limit has passed, "unknown", or the name of the socket
error, which is the same in every language. Windows asks again for a second after a refusal unless it is told to retransmit nothing
(SIO_TCP_INITIAL_RTO). Below build 16299 the least that it can be told is one, and the refusal comes that much later (WNET-60).
.PARAMETER Address
An IPv4 address, never a name.
.PARAMETER Port
The port.
.PARAMETER Count
How many, 1 to 256.
.PARAMETER EveryMs
Milliseconds from the beginning of one to that of the next.
.PARAMETER LimitMs
After so many milliseconds without an answer one is silent, and closed.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Address,
    [Parameter(Mandatory = $true)][int]$Port,
    [Parameter(Mandatory = $true)][int]$Count,
    [Parameter(Mandatory = $true)][int]$EveryMs,
    [Parameter(Mandatory = $true)][int]$LimitMs
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    if ($Count -lt 1 -or $Count -gt 256) { throw 'from 1 to 256 connections are made' }
    # What a called method threw is inside of what tells so.
    $outcomeOf = {
        param([object]$Record)
        $thrown = $Record.Exception
        while ($null -ne $thrown.InnerException) { $thrown = $thrown.InnerException }
        if ($thrown -is [System.Net.Sockets.SocketException]) { "$($thrown.SocketErrorCode)" } else { 'unknown' }
    }
    $again = 254
    if ([Environment]::OSVersion.Platform -eq [System.PlatformID]::Win32NT -and [Environment]::OSVersion.Version.Build -lt 16299) {
        $again = 1
        Write-Warning 'this Windows knows no connection without a second SYN: a refusal is told some half a second later'
    }
    $target = New-Object System.Net.IPEndPoint([System.Net.IPAddress]::Parse($Address), $Port)
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    $attempts = New-Object System.Collections.ArrayList
    $due = 0.0
    try {
        do {
            if ($attempts.Count -lt $Count -and $clock.Elapsed.TotalMilliseconds -ge $due) {
                $new = @{ Socket = $null; Connecting = $null; Began = 0.0; Took = 0.0; Outcome = ''; Port = 0 }
                [void]$attempts.Add($new)
                try {
                    $new.Socket = New-Object System.Net.Sockets.Socket(
                        [System.Net.Sockets.AddressFamily]::InterNetwork, [System.Net.Sockets.SocketType]::Stream,
                        [System.Net.Sockets.ProtocolType]::Tcp)
                    $new.Socket.LingerState = New-Object System.Net.Sockets.LingerOption($true, 0)
                    try { [void]$new.Socket.IOControl(-1744830447, [byte[]](255, 255, $again, 0), $null) }
                    catch { Write-Debug 'not on this Windows: a refusal is told a second later' }
                    $new.Socket.Bind((New-Object System.Net.IPEndPoint([System.Net.IPAddress]::Any, 0)))
                    $new.Port = $new.Socket.LocalEndPoint.Port
                    $new.Began = $clock.Elapsed.TotalMilliseconds
                    $new.Connecting = $new.Socket.BeginConnect($target, $null, $null)
                }
                catch {
                    $new.Outcome = & $outcomeOf $_
                    if ($null -ne $new.Socket) { $new.Socket.Close() }
                }
                # What was missed is not made up for: all of it would begin in one moment.
                $due = [Math]::Max($due, $clock.Elapsed.TotalMilliseconds - $EveryMs) + $EveryMs
            }
            $under = 0
            foreach ($one in $attempts) {
                if ($one.Outcome -ne '') { continue }
                $took = $clock.Elapsed.TotalMilliseconds - $one.Began
                if ($one.Connecting.IsCompleted) {
                    try {
                        $one.Socket.EndConnect($one.Connecting)
                        $one.Outcome = 'answered'
                    }
                    catch { $one.Outcome = & $outcomeOf $_ }
                }
                elseif ($took -ge $LimitMs) { $one.Outcome = 'silent' }
                if ($one.Outcome -eq '') { $under++ }
                else {
                    $one.Took = $took
                    $one.Socket.Close()
                }
            }
            if ($under -gt 0 -or $attempts.Count -lt $Count) { Start-Sleep -Milliseconds 2 }
        } while ($under -gt 0 -or $attempts.Count -lt $Count)
    }
    finally {
        foreach ($one in $attempts) { if ($null -ne $one.Socket) { $one.Socket.Close() } }
    }
    foreach ($one in $attempts) { [ordered]@{ Outcome = $one.Outcome; TookMs = $one.Took; Port = $one.Port } }
}
