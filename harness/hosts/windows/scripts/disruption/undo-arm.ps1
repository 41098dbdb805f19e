<#
.SYNOPSIS
Has the host itself undo what is about to be done to it: a scheduled task of SYSTEM that has begun to wait when this answers.
.DESCRIPTION
The task is started at once and waits by itself, so no clock moves it; it has a trigger at boot besides, and undoes then without waiting
(WHST-55 to 70). It is outside of every session's job. Where it does not begin, it is taken away again and nothing is armed.
.PARAMETER Token
Of the undoing: 16 hexadecimal digits.
.PARAMETER Of
What it is for, for a person.
.PARAMETER Seconds
After so many it undoes; 0: at once.
.PARAMETER Kind
What is undone: firewall (rules of a name go) or nic (an adapter is enabled until its address is there).
.PARAMETER Rule
The rules' name.
.PARAMETER Nic
The adapter's name.
.PARAMETER Address
The adapter's address.
.PARAMETER Guard
The text of engine/undo-task.cmd, which waits and undoes.
.PARAMETER Lease
The token of the lease that must be on this host; empty where none is needed.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Token,
    [Parameter(Mandatory = $true)][string]$Of,
    [Parameter(Mandatory = $true)][int]$Seconds,
    [Parameter(Mandatory = $true)][ValidateSet('firewall', 'nic')][string]$Kind,
    [string]$Rule = '',
    [string]$Nic = '',
    [string]$Address = '',
    [Parameter(Mandatory = $true)][string]$Guard,
    [string]$Lease = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    # The waiting program reads them as cmd does: nothing that cmd gives a meaning of its own.
    foreach ($one in @($Rule, $Nic, $Address)) {
        if ($one -cnotmatch '\A[A-Za-z0-9 ._#()-]{0,80}\z') { Write-Refusal -Id 'BadName' -Why "cmd cannot be given the name $one" }
    }
    $place = Get-UndoPlace -Token $Token
    $task = Get-UndoTask -Token $Token
    Assert-Lease -Token $Lease
    [void](Open-OwnFolder -Make)
    [void][System.IO.Directory]::CreateDirectory($place)
    $armed = [System.IO.Path]::Combine($place, 'armed')
    $program = [System.IO.Path]::Combine($place, 'undo-task.cmd')
    # What is armed already stays so, whatever comes of this.
    $again = [System.IO.File]::Exists($armed)
    try {
        $values = @("kind=$Kind", "task=$task", "seconds=$Seconds", "rule=$Rule", "nic=$Nic", "address=$Address")
        if (-not $again) {
            $ascii = [System.Text.Encoding]::ASCII
            [System.IO.File]::WriteAllText([System.IO.Path]::Combine($place, 'name'), $Of)
            [System.IO.File]::WriteAllText([System.IO.Path]::Combine($place, 'values'), (($values -join "`r`n") + "`r`n"), $ascii)
            [System.IO.File]::WriteAllText($program, ((@($Guard -split '\r?\n') -join "`r`n") + "`r`n"), $ascii)
        }
        $action = New-ScheduledTaskAction -Execute '%SystemRoot%\System32\cmd.exe' -Argument ('/d /s /c ""' + $program + '""') -ErrorAction Stop
        $trigger = New-ScheduledTaskTrigger -AtStartup -ErrorAction Stop
        $principal = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -LogonType ServiceAccount -RunLevel Highest -ErrorAction Stop
        $how = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -ExecutionTimeLimit ([TimeSpan]::Zero) `
            -Priority 4 -MultipleInstances IgnoreNew -ErrorAction Stop
        $null = Register-ScheduledTask -TaskName $task -Action $action -Trigger $trigger -Principal $principal -Settings $how -Force -ErrorAction Stop
        Start-ScheduledTask -TaskName $task -ErrorAction Stop
        $waited = [System.Diagnostics.Stopwatch]::StartNew()
        # One that has nothing to wait for may be through with it, and gone.
        while (-not $again -and -not [System.IO.File]::Exists($armed) -and [System.IO.Directory]::Exists($place)) {
            if ($waited.Elapsed.TotalSeconds -gt 30) { Write-Refusal -Id 'NotArmed' -Why 'the scheduled task has not begun within 30 s; are tasks forbidden there?' }
            Start-Sleep -Milliseconds 100
        }
    }
    catch {
        $why = $_
        if ($again) { throw $why }
        try { Unregister-ScheduledTask -TaskName $task -Confirm:$false -ErrorAction Stop }
        catch { if (-not (Test-NotFound -Record $_)) { Write-Warning ('the task ' + $task + ' may be there still: ' + (Get-ErrorId -Record $_)) } }
        if ([System.IO.Directory]::Exists($place)) { [System.IO.Directory]::Delete($place, $true) }
        Remove-OwnFolder
        throw $why
    }
    [ordered]@{ Token = $Token; Task = $task }
}
