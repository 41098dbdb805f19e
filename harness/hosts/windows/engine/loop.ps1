<#
.SYNOPSIS
Answers questions that come as JSON lines, many at once, each within its limit, until the input ends or none has come for a while.
.DESCRIPTION
A question: {"id":1,"script":"addresses","text":"...","parameters":{"Name":"=x"},"limit":10}. The text is sent with a script's first
question. A text among the parameters begins with "=", so that nothing takes it for a moment. {"id":2,"clock":true} asks the time.
An answer: {"lkharness":1,"id":1,"stuck":0,"answer":{...}}. A question that has not ended at its limit is answered with the error Limit and
told to stop; what has not stopped StopSeconds later is counted in "stuck", and holds its runspace. The first line printed says that it is
ready. Runspaces are made beside the loop, one at a time: making one takes long on a loaded host, and no answer and no limit waits for it.
Where a connection was cut in silence nobody ends what it had started, for hours (WHST-14, WHST-19): so the loop ends by itself. Whoever
asks, be it for the time only, keeps it.
.PARAMETER Reader
Where the questions come from.
.PARAMETER Prelude
The text of the functions that scripts answer with.
.PARAMETER Once
Answer what was asked when the input ends, and end then; otherwise the end of the input ends all.
.PARAMETER AtOnce
So many runspaces at most; further questions wait.
.PARAMETER StopSeconds
So long a question that was told to stop may take for that.
.PARAMETER IdleSeconds
So long without a line of input, and without a question under way, until it ends.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][System.IO.TextReader]$Reader,
    [Parameter(Mandatory = $true)][string]$Prelude,
    [switch]$Once,
    [int]$AtOnce = 16,
    [int]$StopSeconds = 5,
    [int]$IdleSeconds = 300
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$env:NO_COLOR = '1'
. ([scriptblock]::Create($Prelude))

$out = New-Object System.IO.StreamWriter([Console]::OpenStandardOutput(), (New-Object System.Text.UTF8Encoding($false)))
$out.AutoFlush = $true
$clock = [System.Diagnostics.Stopwatch]::StartNew()
$scripts = @{}
$free = New-Object System.Collections.Stack
$running = New-Object System.Collections.ArrayList
$waiting = New-Object System.Collections.ArrayList
$stuck = New-Object System.Collections.ArrayList

# Makes a runspace in which the functions that scripts answer with are known.
$makeWorker = {
    param([string]$Prelude)
    $state = [System.Management.Automation.Runspaces.InitialSessionState]::CreateDefault()
    $made = [System.Management.Automation.Runspaces.RunspaceFactory]::CreateRunspace($state)
    $made.Open()
    $first = [System.Management.Automation.PowerShell]::Create()
    $first.Runspace = $made
    [void]$first.AddScript('$ErrorActionPreference = "Stop"; $ProgressPreference = "SilentlyContinue"')
    [void]$first.AddStatement().AddScript($Prelude)
    [void]$first.Invoke()
    $first.Dispose()
    return $made
}

# Has another runspace made beside the loop, by a runspace that does nothing else.
function Start-Making {
    $maker = [System.Management.Automation.PowerShell]::Create()
    $maker.Runspace = $workshop
    [void]$maker.AddScript([string]$makeWorker, $true)
    [void]$maker.AddArgument($Prelude)
    return @{ Shell = $maker; Handle = $maker.BeginInvoke() }
}

# The runspace that was made is free now; where none could be made, whoever waits longest is told why.
function Complete-Making {
    param([Parameter(Mandatory = $true)][object]$Made)
    try {
        foreach ($one in @($Made.Shell.EndInvoke($Made.Handle))) { $free.Push($one.PSObject.BaseObject) }
    }
    catch {
        $thrown = Get-Thrown -Record $_
        if ($waiting.Count -gt 0) {
            $one = $waiting[0]
            $waiting.RemoveAt(0)
            Send-Fault -Id $one.Id -Fault $thrown.Id -Message $thrown.Message
        }
    }
    $Made.Shell.Dispose()
}

# How many were told to stop long enough ago, and have not.
function Get-StuckCount {
    $now = $clock.Elapsed.TotalSeconds
    return @($stuck | Where-Object { $now - $_.Stopped -ge $StopSeconds }).Count
}

function ConvertFrom-Wire {
    param([AllowNull()][object]$Value)
    if ($Value -is [string]) { return $Value.Substring(1) }
    if ($Value -is [array]) {
        $list = New-Object System.Collections.ArrayList
        foreach ($one in $Value) { [void]$list.Add((ConvertFrom-Wire -Value $one)) }
        return , $list.ToArray()
    }
    return $Value
}

function Send-Answer {
    param([object]$Id, [Parameter(Mandatory = $true)][string]$Json)
    $number = 'null'
    if ($null -ne $Id) { $number = ([long]$Id).ToString([System.Globalization.CultureInfo]::InvariantCulture) }
    $out.WriteLine('{"lkharness":1,"id":' + $number + ',"stuck":' + "$(Get-StuckCount)" + ',"answer":' + $Json + '}')
}

function Send-Fault {
    param([object]$Id, [Parameter(Mandatory = $true)][string]$Fault, [AllowNull()][string]$Message = '')
    Send-Answer -Id $Id -Json (ConvertTo-AsciiJson -Value ([ordered]@{
                ok = $false; error = $Fault; message = $Message; missing = @(); warnings = @(); rows = @() }))
}

# How far apart two different readings of the clock are: 15.6 ms on Windows PowerShell 5.1 (WNET-92).
function Measure-ClockStep {
    $begin = $clock.ElapsedMilliseconds
    $first = [DateTime]::UtcNow.Ticks
    do { $second = [DateTime]::UtcNow.Ticks } while ($second -eq $first -and $clock.ElapsedMilliseconds - $begin -lt 200)
    do { $third = [DateTime]::UtcNow.Ticks } while ($third -eq $second -and $clock.ElapsedMilliseconds - $begin -lt 200)
    return ($third - $second) / 1e7
}

# The error of something that threw: what a called method threw is inside of what tells so.
function Get-Thrown {
    param([Parameter(Mandatory = $true)][object]$Record)
    $inner = $Record.Exception
    if ($null -ne $inner.InnerException) { $inner = $inner.InnerException }
    $id = $inner.GetType().Name
    if ($inner -is [System.Management.Automation.IContainsErrorRecord] -and $null -ne $inner.ErrorRecord) {
        $id = Get-ErrorId -Record $inner.ErrorRecord
    }
    return @{ Id = $id; Message = "$($inner.Message)" }
}

function Start-Question {
    param([Parameter(Mandatory = $true)][object]$One)
    $worker = $null
    try {
        $worker = $free.Pop()
        $shell = [System.Management.Automation.PowerShell]::Create()
        $shell.Runspace = $worker
        [void]$shell.AddScript([string]$scripts[$One.Script], $true)
        foreach ($parameter in @($One.Parameters.PSObject.Properties)) {
            [void]$shell.AddParameter($parameter.Name, (ConvertFrom-Wire -Value $parameter.Value))
        }
        $One.Shell = $shell
        $One.Worker = $worker
        $One.Handle = $shell.BeginInvoke()
        [void]$running.Add($One)
    }
    catch {
        $thrown = Get-Thrown -Record $_
        if ($null -ne $worker) { $free.Push($worker) }
        Send-Fault -Id $One.Id -Fault $thrown.Id -Message $thrown.Message
    }
}

function Complete-Question {
    param([Parameter(Mandatory = $true)][object]$One)
    $json = $null
    $fault = @{ Id = 'NoAnswer'; Message = 'the script ended without an answer' }
    try {
        foreach ($said in @($One.Shell.EndInvoke($One.Handle))) {
            if ($null -ne $said -and "$said".StartsWith('{')) { $json = "$said" }
        }
        if ($null -eq $json -and $One.Shell.Streams.Error.Count -gt 0) {
            $record = $One.Shell.Streams.Error[0]
            $fault = @{ Id = (Get-ErrorId -Record $record); Message = "$($record.Exception.Message)" }
        }
    }
    catch { $fault = Get-Thrown -Record $_ }
    if ($null -ne $json) { Send-Answer -Id $One.Id -Json $json }
    else { Send-Fault -Id $One.Id -Fault $fault.Id -Message $fault.Message }
    $One.Shell.Dispose()
    $free.Push($One.Worker)
}

function Read-Question {
    param([Parameter(Mandatory = $true)][string]$Line)
    $asked = $null
    try {
        $asked = ConvertFrom-Json -InputObject $Line
        if ($null -ne $asked.PSObject.Properties['clock']) {
            $now = ([DateTime]::UtcNow - (New-Object DateTime(1970, 1, 1))).TotalSeconds
            $invariant = [System.Globalization.CultureInfo]::InvariantCulture
            $out.WriteLine('{"lkharness":1,"id":' + "$([long]$asked.id)" + ',"stuck":' + "$(Get-StuckCount)" + ',"clock":' +
                $now.ToString('F6', $invariant) + ',"step":' + $step.ToString('F6', $invariant) + '}')
            return
        }
        if ($null -ne $asked.PSObject.Properties['text']) { $scripts[[string]$asked.script] = $asked.text.Substring(1) }
        if (-not $scripts.ContainsKey([string]$asked.script)) { throw 'ScriptNotSent' }
        [void]$waiting.Add(@{
                Id = [long]$asked.id; Script = [string]$asked.script; Parameters = $asked.parameters
                Ends = $clock.Elapsed.TotalSeconds + [double]$asked.limit; Shell = $null; Worker = $null; Handle = $null; Stopped = 0.0 })
    }
    catch {
        $id = $null
        if ($null -ne $asked) { $id = Get-Field -From $asked -Name 'id' }
        Send-Fault -Id $id -Fault 'BadQuestion' -Message "$($_.Exception.Message)"
    }
}

$edition = 'Desktop'
if ($PSVersionTable.ContainsKey('PSEdition')) { $edition = "$($PSVersionTable['PSEdition'])" }
$step = Measure-ClockStep
$free.Push((& $makeWorker $Prelude))
$workshop = & $makeWorker '$null = 1'
$making = $null
$out.WriteLine((ConvertTo-AsciiJson -Value ([ordered]@{
            lkharness = 1; ready = $true; version = "$($PSVersionTable.PSVersion)"; edition = $edition; process = $PID })))
$reading = $Reader.ReadLineAsync()
$heard = $clock.Elapsed.TotalSeconds
if ($IdleSeconds -lt 1) { $IdleSeconds = 300 }
while ($true) {
    $now = $clock.Elapsed.TotalSeconds
    # What was told to stop and has not is no reason to stay: it may never end.
    if ($running.Count -gt 0 -or $waiting.Count -gt 0) { $heard = $now }
    elseif ($now - $heard -ge $IdleSeconds) { break }
    $due = [Math]::Min($now + 30, $heard + $IdleSeconds)
    foreach ($one in @($running) + @($waiting)) { if ($one.Ends -lt $due) { $due = $one.Ends } }
    if ($stuck.Count -gt 0 -and $now + 0.25 -lt $due) { $due = $now + 0.25 }
    $handles = New-Object System.Collections.ArrayList
    if ($null -ne $reading) { [void]$handles.Add($reading.AsyncWaitHandle) }
    foreach ($one in @($running)) { [void]$handles.Add($one.Handle.AsyncWaitHandle) }
    if ($null -ne $making) { [void]$handles.Add($making.Handle.AsyncWaitHandle) }
    if ($handles.Count -eq 0) { break }
    $wait = [int][Math]::Max(0, [Math]::Ceiling(($due - $now) * 1000))
    [void][System.Threading.WaitHandle]::WaitAny([System.Threading.WaitHandle[]]$handles.ToArray(), $wait)

    if ($null -ne $reading -and $reading.IsCompleted) {
        $heard = $clock.Elapsed.TotalSeconds
        $line = $reading.Result
        if ($null -eq $line) {
            $reading = $null
            if (-not $Once) { break }
        }
        else {
            if ($line.Trim() -ne '') { Read-Question -Line $line }
            $reading = $Reader.ReadLineAsync()
        }
    }
    $now = $clock.Elapsed.TotalSeconds
    foreach ($one in @($running)) {
        if ($one.Handle.IsCompleted) {
            $running.Remove($one)
            Complete-Question -One $one
        }
        elseif ($now -ge $one.Ends) {
            $running.Remove($one)
            $one.Stopped = $now
            [void]$one.Shell.BeginStop($null, $null)
            [void]$stuck.Add($one)
            Send-Fault -Id $one.Id -Fault 'Limit' -Message 'the question had not ended at its limit'
        }
    }
    foreach ($one in @($stuck)) {
        if (@('Stopped', 'Completed', 'Failed') -contains "$($one.Shell.InvocationStateInfo.State)") {
            $stuck.Remove($one)
            $one.Shell.Dispose()
            $one.Worker.Dispose()
        }
    }
    if ($null -ne $making -and $making.Handle.IsCompleted) {
        $done = $making
        $making = $null
        Complete-Making -Made $done
    }
    foreach ($one in @($waiting)) {
        if ($now -ge $one.Ends) {
            $waiting.Remove($one)
            Send-Fault -Id $one.Id -Fault 'Limit' -Message 'no runspace was free before its limit'
        }
        elseif ($free.Count -gt 0) {
            $waiting.Remove($one)
            Start-Question -One $one
        }
        elseif ($null -eq $making -and $running.Count + $stuck.Count -lt $AtOnce) { $making = Start-Making }
    }
}
$out.Flush()
[Environment]::Exit(0)
