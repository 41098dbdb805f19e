<#
.SYNOPSIS
Takes the loop from the first line of standard input and becomes it. Sent as an encoded command, so it is short.
#>
$ProgressPreference = 'SilentlyContinue'
$mode = "$($ExecutionContext.SessionState.LanguageMode)"
if ($mode -ne 'FullLanguage') {
    '{"lkharness":1,"ready":false,"error":"LanguageMode","message":"' + $mode + '"}'
    exit 0
}
$utf8 = New-Object System.Text.UTF8Encoding($false)
$reader = New-Object System.IO.StreamReader([Console]::OpenStandardInput(), $utf8, $false, 65536)
# A connection that was cut before its first line came is waited for no longer than the loop waits for a question.
$coming = $reader.ReadLineAsync()
if (-not $coming.Wait(300000)) { [Environment]::Exit(0) }
$line = $coming.Result
if ($null -eq $line) { exit 0 }
$first = ConvertFrom-Json -InputObject $line
. ([scriptblock]::Create($first.loop)) -Reader $reader -Prelude $first.prelude -Once:([bool]$first.once) -IdleSeconds ([int]$first.idle)
