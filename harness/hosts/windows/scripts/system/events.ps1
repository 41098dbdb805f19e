<#
.SYNOPSIS
The event log between two moments: the newest entries of each log.
.DESCRIPTION
By XML, because a table of filters loses the fraction of both moments (WHST-112). An entry whose text cannot be made is told by its
values and does not end the rest (WHST-115). A log that cannot be read is a warning while another was, and else the error.
.PARAMETER Begin
UTC, ISO 8601, with Z.
.PARAMETER End
The same.
.PARAMETER Logs
Names of logs.
.PARAMETER Source
The provider; all when empty. Of one with both kinds of quotes in its name, those among the newest entries of all.
.PARAMETER Most
So many entries of each log.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Begin,
    [Parameter(Mandatory = $true)][string]$End,
    [Parameter(Mandatory = $true)][string[]]$Logs,
    [string]$Source = '',
    [int]$Most = 1000
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $failed = New-Object System.Collections.ArrayList
    $told = 0
    foreach ($log in $Logs) {
        $system = "TimeCreated[@SystemTime>='$Begin' and @SystemTime<='$End']"
        # XPath has no way to write both kinds of quotes in one text: then the entries themselves are looked at.
        $bySource = $Source.Contains("'") -and $Source.Contains('"')
        if ($Source -ne '' -and -not $bySource) {
            $quote = "'"
            if ($Source.Contains("'")) { $quote = '"' }
            $system = 'Provider[@Name=' + $quote + $Source + $quote + '] and ' + $system
        }
        $path = [System.Security.SecurityElement]::Escape($log)
        $select = [System.Security.SecurityElement]::Escape('*[System[' + $system + ']]')
        $query = [xml]('<QueryList><Query Id="0" Path="' + $path + '"><Select Path="' + $path + '">' + $select + '</Select></Query></QueryList>')
        $problems = New-Object System.Collections.ArrayList
        $entries = @()
        try { $entries = @(Get-WinEvent -FilterXml $query -MaxEvents $Most -ErrorAction SilentlyContinue -ErrorVariable problems) }
        catch { $problems = @($_) }
        foreach ($problem in @($problems)) {
            if ($problem -isnot [System.Management.Automation.ErrorRecord]) { continue }
            $id = Get-ErrorId -Record $problem
            if ($id -like 'NoMatchingEventsFound*' -or $id -like 'NoMatchingProvidersFound*') { $told++; continue }
            if ($entries.Count -gt 0) { Write-Warning ('log ' + $log + ', ' + $id) }
            else { [void]$failed.Add(@{ Log = $log; Record = $problem; Id = $id }) }
        }
        if ($entries.Count -gt 0 -or @($problems).Count -eq 0) { $told++ }
        foreach ($entry in $entries) {
            if ($bySource -and (Get-Text -From $entry -Name 'ProviderName') -ne $Source) { continue }
            if ($null -eq (Get-Field -From $entry -Name 'TimeCreated')) { Write-Warning ('log ' + $log + ', an entry without a time'); continue }
            $text = Get-Text -From $entry -Name 'Message'
            if ($null -eq $text -or $text -eq '') {
                $text = (@(foreach ($one in @(Get-Field -From $entry -Name 'Properties')) { if ($null -ne $one) { "$(Get-Value -From $one)" } }) -join ' ')
            }
            if ($text.Length -gt 2000) { $text = $text.Substring(0, 2000) }
            [ordered]@{
                At           = ConvertTo-Moment -Value $entry.TimeCreated
                LogName      = Get-Text -From $entry -Name 'LogName'
                ProviderName = Get-Text -From $entry -Name 'ProviderName'
                Id           = Get-Field -From $entry -Name 'Id'
                Level        = Get-Field -From $entry -Name 'Level'
                Message      = $text
            }
        }
    }
    if ($failed.Count -gt 0 -and $told -eq 0) { throw $failed[0].Record }
    foreach ($one in $failed) { Write-Warning ('log ' + $one.Log + ' could not be read: ' + $one.Id) }
}
