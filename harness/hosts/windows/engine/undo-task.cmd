@echo off
rem Undoes one thing on this host, whatever becomes of who did it: after some seconds, at once when told so or after a boot.
rem A scheduled task of SYSTEM runs it, so it outlives every session; in cmd, which needs no TEMP and no language mode (WHST-43, 70).
rem Beside it lie the files values (what is to be undone), armed (it has begun), now (it is being undone, or is to be at once), failed (what is still so)
rem and, of an adapter, down (it was seen to be off).
rem It takes task and folder away when the thing was seen to be as it was, and goes on until then.
setlocal EnableExtensions EnableDelayedExpansion
set "sys=%SystemRoot%\System32"
set "d=%~dp0"
cd /d "%SystemRoot%"
:read
for /f "usebackq tokens=1,* delims==" %%k in ("%~dp0values") do set "v_%%k=%%l"
rem What has the file open for a moment (a scanner, a backup) keeps it from being read, and without it nothing could be undone.
if defined v_kind if defined v_task if defined v_seconds goto known
if not exist "!d!values" exit /b 0
"!sys!\ping.exe" -n 2 -w 1000 127.0.0.1 >nul 2>&1
goto read

:known
rem Whoever starts it a second time starts it after a boot, or because its first process was ended.
if exist "!d!armed" goto undo
>"!d!armed" echo armed
if not exist "!d!armed" exit /b 1

:wait
if not exist "!d!values" exit /b 0
if exist "!d!now" goto undo
if !v_seconds! LEQ 0 goto undo
"!sys!\ping.exe" -n 2 -w 1000 127.0.0.1 >nul 2>&1
set /a v_seconds-=1
goto wait

:undo
rem Who is about to do it sees from now on that nobody would undo it a second time.
>"!d!now" echo now
set /a pause=2
:again
call :undo_!v_kind!
call :check_!v_kind!
if errorlevel 1 goto later
"!sys!\schtasks.exe" /delete /tn "!v_task!" /f >nul 2>&1
"!sys!\schtasks.exe" /query /tn "!v_task!" >nul 2>&1
if not errorlevel 1 goto later
for %%p in ("!d!..") do set "up=%%~fp"
(rd /s /q "!d!" >nul 2>&1 & rd "!up!" >nul 2>&1 & exit 0)

:later
>"!d!failed" echo !v_kind!
"!sys!\ping.exe" -n !pause! -w 1000 127.0.0.1 >nul 2>&1
set /a pause+=pause/2+1
if !pause! GTR 60 set /a pause=60
goto again

:undo_firewall
"!sys!\netsh.exe" advfirewall firewall delete rule name="!v_rule!" >nul 2>&1
exit /b 0

:check_firewall
set "rules=HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules"
"!sys!\reg.exe" query "!rules!" >nul 2>&1
if errorlevel 1 exit /b 1
"!sys!\reg.exe" query "!rules!" /v "!v_rule!-in" >nul 2>&1
if not errorlevel 1 exit /b 1
"!sys!\reg.exe" query "!rules!" /v "!v_rule!-out" >nul 2>&1
if not errorlevel 1 exit /b 1
"!sys!\netsh.exe" advfirewall firewall show rule name="!v_rule!" >nul 2>&1
if errorlevel 1 exit /b 0
exit /b 1

:undo_nic
"!sys!\netsh.exe" interface set interface name="!v_nic!" admin=enabled >nul 2>&1
exit /b 0

:check_nic
rem Who disables an adapter is answered before it is off (WHST-87). Where it was not seen to be off it may go off yet: it has to stay on for a while.
set /a looks=15
if exist "!d!down" set /a looks=1
:look_nic
set "found="
for /f "tokens=2 delims=:" %%a in ('!sys!\ipconfig.exe') do if "%%a"==" !v_address!" set "found=yes"
if not defined found exit /b 1
set /a looks-=1
if !looks! LEQ 0 exit /b 0
"!sys!\ping.exe" -n 2 -w 1000 127.0.0.1 >nul 2>&1
goto look_nic
