<#
.SYNOPSIS
Runs one command that changes something to its end, outside of the session that asked for it, and keeps what it said for whoever comes.
.DESCRIPTION
Started by the script job-start in the job's folder, as a process that nobody's session holds. What is to be run is in the file plan, a line
each in base64: program, arguments, folder. It writes, each file whole or not at all: pid (its number, and the ticks of UTC at which it
started), and then code (the command's exit code, and behind a blank why its output could not be kept) or failed (why it could not be run),
with said (the end of both streams). It has no limit. What nobody collects within ten minutes removes itself.
#>
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$most = 20000
$keptMilliseconds = 600000
$place = [System.Environment]::CurrentDirectory
$utf8 = New-Object System.Text.UTF8Encoding($false)
# A process holds the folder that it is in.
[System.Environment]::CurrentDirectory = [System.IO.Path]::GetPathRoot($place)

function Write-Whole {
    param([Parameter(Mandatory = $true)][string]$Name, [AllowEmptyString()][string]$Text)
    $file = [System.IO.Path]::Combine($place, $Name)
    [System.IO.File]::WriteAllText($file + '.new', $Text, $utf8)
    [System.IO.File]::Move($file + '.new', $file)
}

# The last characters of what was said so far.
function Get-Tail {
    param([AllowEmptyString()][string]$Text)
    if ($Text.Length -le $most) { return $Text }
    return $Text.Substring($Text.Length - $most)
}

# Runs the command; what it said on both streams, and its exit code.
function Invoke-Planned {
    param([Parameter(Mandatory = $true)][AllowEmptyString()][string[]]$Plan)
    $start = New-Object System.Diagnostics.ProcessStartInfo
    $start.FileName = $Plan[0]
    $start.Arguments = $Plan[1]
    if ($Plan[2] -ne '') { $start.WorkingDirectory = $Plan[2] }
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $process = [System.Diagnostics.Process]::Start($start)
    $process.StandardInput.Close()
    $streams = @($process.StandardOutput, $process.StandardError)
    $buffers = @((New-Object char[] 4096), (New-Object char[] 4096))
    $said = @('', '')
    $reads = @($null, $null)
    foreach ($at in 0, 1) { $reads[$at] = $streams[$at].ReadAsync($buffers[$at], 0, 4096) }
    $quiet = $null
    while ($null -ne $reads[0] -or $null -ne $reads[1]) {
        $open = @(foreach ($one in $reads) { if ($null -ne $one) { $one } })
        $came = [System.Threading.Tasks.Task]::WaitAny([System.Threading.Tasks.Task[]]$open, 250)
        # What it left behind may hold the streams open for ever; what it said itself is there soon after its end.
        if ($came -lt 0 -and $process.HasExited) {
            if ($null -eq $quiet) { $quiet = [System.Diagnostics.Stopwatch]::StartNew() }
            if ($quiet.ElapsedMilliseconds -gt 5000) { break }
        }
        foreach ($at in 0, 1) {
            if ($null -eq $reads[$at] -or -not $reads[$at].IsCompleted) { continue }
            $count = 0
            if (-not $reads[$at].IsFaulted -and -not $reads[$at].IsCanceled) { $count = $reads[$at].Result }
            if ($count -le 0) { $reads[$at] = $null; continue }
            $said[$at] = Get-Tail -Text ($said[$at] + (New-Object string($buffers[$at], 0, $count)))
            $reads[$at] = $streams[$at].ReadAsync($buffers[$at], 0, 4096)
        }
    }
    $process.WaitForExit()
    return @{ Exit = $process.ExitCode; Said = ($said[0] + $said[1]) }
}

$own = [System.Diagnostics.Process]::GetCurrentProcess()
Write-Whole -Name 'pid' -Text ("$($own.Id) " + $own.StartTime.ToUniversalTime().Ticks.ToString([System.Globalization.CultureInfo]::InvariantCulture))
try {
    $lines = @([System.IO.File]::ReadAllLines([System.IO.Path]::Combine($place, 'plan'), $utf8))
    $plan = @(foreach ($line in $lines) { $utf8.GetString([Convert]::FromBase64String($line)) })
    $done = Invoke-Planned -Plan $plan
    $ended = $done.Exit.ToString([System.Globalization.CultureInfo]::InvariantCulture)
    # On a full disk a number still finds room where a text does not.
    try { Write-Whole -Name 'said' -Text (Get-Tail -Text $done.Said) }
    catch { $ended = $ended + ' its output could not be kept: ' + "$($_.Exception.Message)" }
    Write-Whole -Name 'code' -Text $ended
}
catch { Write-Whole -Name 'failed' -Text "$($_.Exception.Message)" }
$kept = [System.Diagnostics.Stopwatch]::StartNew()
while ([System.IO.Directory]::Exists($place) -and $kept.ElapsedMilliseconds -lt $keptMilliseconds) { Start-Sleep -Seconds 1 }
if ([System.IO.Directory]::Exists($place)) { [System.IO.Directory]::Delete($place, $true) }
