<#
.SYNOPSIS
The lease on this host: one run at a time may disturb it, for a term that ends by the host's own count since its start.
.DESCRIPTION
It is a file in a folder that only administrators get into. Taking, renewing and giving back hold that file, so that two who find an old
lease cannot both take it. A lease of another boot has ended. A term beyond the longest one is no lease.
.PARAMETER Verb
take, renew or give.
.PARAMETER Token
The run's own: 16 hexadecimal digits.
.PARAMETER Holder
Who has it, for a person.
.PARAMETER Term
For how many seconds unless it is renewed.
.PARAMETER Longest
More seconds than this has nobody.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateSet('take', 'renew', 'give')][string]$Verb,
    [Parameter(Mandatory = $true)][string]$Token,
    [Parameter(Mandatory = $true)][string]$Holder,
    [Parameter(Mandatory = $true)][int]$Term,
    [Parameter(Mandatory = $true)][int]$Longest
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    if ($Token -cnotmatch '^[0-9a-f]{16}$') { Write-Refusal -Id 'BadToken' -Why 'a token is 16 hexadecimal digits' }
    $row = [ordered]@{ State = 'gone'; Left = $null; Holder = $null; Since = $null }
    $file = Open-LeaseFile -Make:($Verb -ne 'give')
    if ($null -ne $file) {
        try {
            $record = Read-Lease -File $file
            $now = Get-Ticks
            $boot = Get-BootNumber
            $mine = $null -ne $record -and "$($record.token)" -ceq $Token
            $left = 0.0
            if ($null -ne $record) {
                $left = [double]$record.until - $now
                if ($left -gt $Longest) { $left = 0.0 }
                if ($null -ne $boot -and $null -ne $record.boot -and [long]$record.boot -ne [long]$boot) { $left = 0.0 }
            }
            if ($Verb -eq 'give') { if ($mine -or $null -eq $record) { [System.IO.File]::Delete($file.Name) } }
            elseif (-not $mine -and $left -gt 0) {
                $row['State'] = 'held'
                $row['Left'] = [Math]::Ceiling($left)
                $row['Holder'] = "$($record.holder)"
                $row['Since'] = "$($record.since)".TrimStart('=')
            }
            else {
                $since = '=' + (ConvertTo-Moment -Value ([DateTime]::UtcNow))
                if ($mine) { $since = "$($record.since)" }
                Write-Lease -File $file -Record ([ordered]@{ token = $Token; holder = $Holder; since = $since; until = $now + $Term; boot = $boot })
                $row['State'] = 'mine'
            }
        }
        finally { $file.Dispose() }
        if ($Verb -eq 'give') { Remove-OwnFolder }
    }
    $row
}
