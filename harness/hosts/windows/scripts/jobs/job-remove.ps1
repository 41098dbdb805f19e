<#
.SYNOPSIS
Removes what a job has kept, once somebody has it. A job that is not there is none to remove.
.PARAMETER Name
Of the job: twelve hexadecimal digits.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Name
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    if ($Name -cnotmatch '\A[0-9a-f]{12}\z') { throw 'a job is named by twelve hexadecimal digits' }
    $place = [System.IO.Path]::Combine((Get-JobsFolder), $Name)
    $there = [System.IO.Directory]::Exists($place)
    if ($there) { [System.IO.Directory]::Delete($place, $true) }
    [ordered]@{ Name = $Name; Removed = $there }
}
