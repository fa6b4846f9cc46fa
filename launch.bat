@echo off
rem Opens LTX Wizard. The first start makes a private environment in .venv beside this file; later starts take seconds.
rem
rem   launch.bat [--listen] [--share] [--port N] [--no-browser]   the app, in the browser
rem   launch.bat demo --out DIR [--json]                          the whole road without a window; so any word of the
rem                                                               command line program
rem   launch.bat python FILE ARGS                                 a script of this repository in that environment
rem   launch.bat test [PYTEST ARGS]                               all checks and tests; with arguments, pytest only
rem
rem LTX_WIZARD_PYTHON=PATH chooses the Python. LTX_WIZARD_DRY_RUN=1 prints the commands and runs none of them.
rem This file only finds a Python; ltx_wizard\launch does the rest, on every system.
setlocal EnableExtensions DisableDelayedExpansion
set "SETUP=%~dp0ltx_wizard\launch"
set "FOUND="

if defined LTX_WIZARD_PYTHON goto named
call :try py -3.13
call :try py -3.12
call :try py -3.11
call :try py -3.10
call :try python3
call :try python
if not defined FOUND goto none
goto run

:named
call :try "%LTX_WIZARD_PYTHON%"
if defined FOUND goto run
echo LTX_WIZARD_PYTHON names a Python that cannot be used: "%LTX_WIZARD_PYTHON%" 1>&2
call :tell "%LTX_WIZARD_PYTHON%"
echo What to do: let it name a 64-bit Python 3.10, 3.11, 3.12 or 3.13, or unset it. 1>&2
goto failed

:none
echo LTX Wizard needs a 64-bit Python 3.10, 3.11, 3.12 or 3.13, and found none that it can use. 1>&2
call :tell py
call :tell python3
call :tell python
echo What to do: install Python 3.12 (64-bit) from python.org with "Add python.exe to PATH" ticked, 1>&2
echo or set LTX_WIZARD_PYTHON to the path of one; then start again. 1>&2

:failed
if "%~1"=="" if not defined LTX_WIZARD_DRY_RUN pause
exit /b 1

:run
%FOUND% -I "%SETUP%" run %*
set "STATUS=%ERRORLEVEL%"
rem Opened by a double click, the window would close before anyone could read why.
if not "%STATUS%"=="0" if "%~1"=="" if not defined LTX_WIZARD_DRY_RUN pause
exit /b %STATUS%

rem Ask a candidate itself: a name on the PATH may be a shim with nothing behind it, or too old to read the question.
rem "call", because a shim may be a batch file, which would otherwise never come back.
:try
if defined FOUND exit /b 0
call %* -I "%SETUP%" check-python >nul 2>&1
if not "%ERRORLEVEL%"=="0" exit /b 0
set FOUND=%*
exit /b 0

rem Let a Python that is there say why it will not do.
:tell
call %* -I "%SETUP%" check-python 1>&2 2>nul
exit /b 0
