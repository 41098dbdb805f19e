<#
.SYNOPSIS
Tells the host's own undoing to begin now.
.DESCRIPTION
The task does it, not this session, so nothing ends it half way. A task that does not run any more is started again, and undoes at once.
.PARAMETER Token
Of the undoing.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Token
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    $place = Get-UndoPlace -Token $Token
    $task = Get-UndoTask -Token $Token
    if ($null -eq (Open-OwnFolder) -or -not [System.IO.Directory]::Exists($place)) { Write-Missing "nothing is armed as $Token" }
    [System.IO.File]::WriteAllText([System.IO.Path]::Combine($place, 'now'), 'now')
    foreach ($one in @(Find-All { Get-ScheduledTask -TaskName $task -ErrorAction Stop })) {
        if ((Get-Text -From $one -Name 'State') -ne 'Running') { Start-ScheduledTask -TaskName $task -ErrorAction Stop }
        [ordered]@{ Token = $Token; Task = $task }
        return
    }
    # It may have undone it, and be gone, since it was looked for.
    Write-Missing "there is no task $task"
}
