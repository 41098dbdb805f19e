<#
.SYNOPSIS
Ends a process without a word (TerminateProcess), if it is still the one that was meant.
.PARAMETER Id
Its number.
.PARAMETER StartedAt
When it started, as the script process tells: the two together name it for ever.
.PARAMETER Lease
The token of the lease that must be on this host; empty where none is needed.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][int]$Id,
    [Parameter(Mandatory = $true)][string]$StartedAt,
    [string]$Lease = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    $meant = $null
    foreach ($process in @(Get-Process -ErrorAction Stop)) { if ([int]$process.Id -eq $Id) { $meant = $process } }
    if ($null -eq $meant) { Write-Refusal -Id 'OtherProcess' -Why "process $Id is not there any more, so nothing was done" }
    $at = Get-Field -From $meant -Name 'StartTime'
    if ($null -eq $at -or (ConvertTo-Moment -Value $at) -cne $StartedAt) {
        Write-Refusal -Id 'OtherProcess' -Why "process $Id is not the one that was meant, so nothing was done"
    }
    Assert-Lease -Token $Lease
    $before = Get-WallClock
    Stop-Process -InputObject $meant -Force -ErrorAction Stop
    [ordered]@{ Before = $before; After = (Get-WallClock) }
}
