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
$line = $reader.ReadLine()
if ($null -eq $line) { exit 0 }
$first = ConvertFrom-Json -InputObject $line
. ([scriptblock]::Create($first.loop)) -Reader $reader -Prelude $first.prelude -Once:([bool]$first.once)
