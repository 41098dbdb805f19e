$ProgressPreference='SilentlyContinue';$ErrorActionPreference='Stop'
try{[Console]::OutputEncoding=New-Object Text.UTF8Encoding $false}catch{[Console]::Error.WriteLine('no console to set to UTF-8')}
function J($x){[regex]::Replace((ConvertTo-Json -InputObject @($x) -Compress -Depth 4),'[^ -~]',{param($m)'\u{0:x4}'-f[int][char]$m.Value})}
