<#
.SYNOPSIS
What became of a command that job-start has started, or of all that this account has started here. No row: there is none.
.DESCRIPTION
State is starting, running, ended (Exit is its code), failed (Text says why it could not be run), or gone: it neither ended nor runs.
.PARAMETER Name
Of one job; empty: all.
#>
[CmdletBinding()]
param(
    [string]$Name = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    # The text of one of a job's files; null where there is none. Its writer may just be at it.
    function Read-Whole {
        param([Parameter(Mandatory = $true)][string]$From, [Parameter(Mandatory = $true)][string]$File)
        $path = [System.IO.Path]::Combine($From, $File)
        try { return [System.IO.File]::ReadAllText($path) }
        catch [System.IO.FileNotFoundException] { return $null }
        catch [System.IO.DirectoryNotFoundException] { return $null }
    }

    # Whether the process that wrote its number is still the same one.
    function Test-Running {
        param([Parameter(Mandatory = $true)][string]$Said)
        $words = @($Said -split ' ')
        try {
            $process = [System.Diagnostics.Process]::GetProcessById([int]$words[0])
            $apart = [Math]::Abs($process.StartTime.ToUniversalTime().Ticks - [long]$words[1])
            return (-not $process.HasExited -and $apart -lt 10000000)
        }
        catch [System.ArgumentException] { return $false }
        catch [System.InvalidOperationException] { return $false }
    }

    $above = Get-JobsFolder
    if (-not [System.IO.Directory]::Exists($above)) { return }
    foreach ($place in @([System.IO.Directory]::GetDirectories($above))) {
        $own = [System.IO.Path]::GetFileName($place)
        if ($Name -ne '' -and $own -ne $Name) { continue }
        $ran = Read-Whole -From $place -File 'pid'
        $ended = Read-Whole -From $place -File 'code'
        $failed = Read-Whole -From $place -File 'failed'
        $state = 'starting'
        if ($null -ne $ended) { $state = 'ended' }
        elseif ($null -ne $failed) { $state = 'failed' }
        elseif ($null -ne $ran) {
            $state = 'running'
            if (-not (Test-Running -Said $ran)) {
                # It may have ended since the first look.
                $ended = Read-Whole -From $place -File 'code'
                $failed = Read-Whole -From $place -File 'failed'
                $state = 'gone'
                if ($null -ne $ended) { $state = 'ended' } elseif ($null -ne $failed) { $state = 'failed' }
            }
        }
        elseif (([DateTime]::UtcNow - [System.IO.Directory]::GetCreationTimeUtc($place)).TotalMinutes -gt 10) { $state = 'gone' }
        $code = $null
        $text = $failed
        if ($null -ne $ended) {
            $words = @($ended -split ' ', 2)
            $code = [int]$words[0]
            if ($words.Count -gt 1) { $text = $words[1] }
        }
        if ($null -eq $text) { $text = Read-Whole -From $place -File 'said' }
        [ordered]@{ Name = $own; Line = Read-Whole -From $place -File 'line'; State = $state; Exit = $code; Text = $text }
    }
}
