<#
.SYNOPSIS
The time, and what the time service says of where it has it from.
.DESCRIPTION
In the language of the host; nothing reads it but people.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $said = Invoke-Native -Program 'w32tm' -Words @('/query', '/status')
    if ($said.Exit -ne 0) { Write-Warning "w32tm did not tell its source (code $($said.Exit))" }
    [ordered]@{ At = ConvertTo-Moment -Value ([DateTime]::UtcNow); Text = $said.Out; Exit = $said.Exit }
}
