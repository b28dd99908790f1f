; SPDX-License-Identifier: Apache-2.0
; The Windows setup program of the agent. makensis -DVERSION=… -DSTAGE=… -DOUT=… ; see bundle/windows.py.
;
;   jinsuo-VERSION-windows.exe [/S] [/D=C:\Program Files\Jinsuo]      /S: nothing is shown or asked
;
; Installs into Program Files, makes C:\ProgramData\Jinsuo\agent if there is none, installs the service (it is started by
; whoever has enrolled the agent), adds shortcuts. Again, it updates. Uninstalling removes service and program and keeps
; ProgramData: keys, journal, spool and receipts. Exit codes: 0 done · 1 cancelled · 2 failed; then setup-error.txt in
; Program Files says why. In ProgramData, where every user may make folders and links, nothing is written but by the agent's
; own commands, which look first whose they are.

!define KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\Jinsuo"
!include LogicLib.nsh
Unicode true
Target amd64-unicode
SetCompressor /SOLID lzma
RequestExecutionLevel admin
Name "Jinsuo ${VERSION}"
OutFile "${OUT}"
InstallDir "$PROGRAMFILES64\Jinsuo"
InstallDirRegKey HKLM "${KEY}" "InstallLocation"
ShowInstDetails show
!define PYTHON '"$INSTDIR\python\python.exe" -X utf8 -m agent.cli.main'

LoadLanguageFile "${NSISDIR}/Contrib/Language files/English.nlf"
LoadLanguageFile "${NSISDIR}/Contrib/Language files/SimpChinese.nlf"
LangString FOLDER ${LANG_ENGLISH} "Agent's folder"
LangString FOLDER ${LANG_SIMPCHINESE} "采集端目录"
LangString COMMANDS ${LANG_ENGLISH} "Jinsuo commands"
LangString COMMANDS ${LANG_SIMPCHINESE} "金锁命令行"
LangString HANDBOOK ${LANG_ENGLISH} "Jinsuo handbook"
LangString HANDBOOK ${LANG_SIMPCHINESE} "金锁操作手册"
LangString PAGE ${LANG_ENGLISH} "operate.md"
LangString PAGE ${LANG_SIMPCHINESE} "operate.zh-CN.md"
LangString UNINSTALL ${LANG_ENGLISH} "Uninstall Jinsuo"
LangString UNINSTALL ${LANG_SIMPCHINESE} "卸载金锁"
LangString KEPT ${LANG_ENGLISH} "Keys, journal, spool and receipts were kept in"
LangString KEPT ${LANG_SIMPCHINESE} "密钥、台账、发件箱与回执保留在"
LangString FAILED ${LANG_ENGLISH} "failed; nothing of the agent's folder was changed"
LangString FAILED ${LANG_SIMPCHINESE} "失败；采集端目录未作改动"

Page directory
Page instfiles
UninstPage uninstConfirm
UninstPage instfiles

; Run a command of the agent; $0 is its exit code, $1 what it said. Ends the installation if it fails: in silent mode
; nobody sees the details, so the reason goes into a file, too.
!macro Agent WORDS
    nsExec::ExecToStack '${PYTHON} ${WORDS}'
    Pop $0
    Pop $1
    DetailPrint 'jinsuo-agent ${WORDS}: $1'
    ${If} $0 != 0
        !insertmacro Fail 'jinsuo-agent ${WORDS}: $0: $1'
    ${EndIf}
!macroend

!macro Fail WHY
    DetailPrint `${WHY}: $(FAILED)`
    FileOpen $2 "$INSTDIR\setup-error.txt" w
    FileWriteUTF16LE /BOM $2 `${WHY}`
    FileClose $2
    SetErrorLevel 2
    Abort
!macroend

; Stop the service if it runs; $R9 says whether it did. Files in use cannot be replaced.
!macro StopService
    StrCpy $R9 0
    ${If} ${FileExists} "$INSTDIR\python\python.exe"
        nsExec::ExecToLog '${PYTHON} service status'
        Pop $0
        ${If} $0 == 0
            StrCpy $R9 1
            nsExec::ExecToLog '${PYTHON} service stop'
            Pop $0
        ${EndIf}
    ${EndIf}
!macroend

; Remove the program. A process that is just ending still holds its files, so for half a minute it is tried again.
!macro RemoveProgram
    StrCpy $R8 0
    RMDir /r "$INSTDIR\python"
    ${While} ${FileExists} "$INSTDIR\python\*.*"
        ${If} $R8 == 60
            !insertmacro Fail "$INSTDIR\python is in use"
        ${EndIf}
        Sleep 500
        IntOp $R8 $R8 + 1
        RMDir /r "$INSTDIR\python"
    ${EndWhile}
!macroend

Section
    SetShellVarContext all
    Delete "$INSTDIR\setup-error.txt"
    !insertmacro StopService
    !insertmacro RemoveProgram
    SetOutPath "$INSTDIR"
    File /r "${STAGE}/*"
    WriteUninstaller "$INSTDIR\uninstall.exe"

    ${IfNot} ${FileExists} "$APPDATA\Jinsuo\agent\agent.yaml"
        !insertmacro Agent 'init "$APPDATA\Jinsuo\agent"'
    ${EndIf}
    !insertmacro Agent '-C "$APPDATA\Jinsuo\agent" service install'
    ${If} $R9 == 1
        !insertmacro Agent 'service start'
    ${EndIf}

    CreateDirectory "$SMPROGRAMS\Jinsuo"
    CreateShortcut "$SMPROGRAMS\Jinsuo\$(COMMANDS).lnk" "$SYSDIR\cmd.exe" '/k "set PATH=$INSTDIR;%PATH%"'
    CreateShortcut "$SMPROGRAMS\Jinsuo\$(FOLDER).lnk" "$APPDATA\Jinsuo\agent"
    CreateShortcut "$SMPROGRAMS\Jinsuo\$(HANDBOOK).lnk" "$SYSDIR\notepad.exe" '"$INSTDIR\docs\$(PAGE)"'
    CreateShortcut "$SMPROGRAMS\Jinsuo\$(UNINSTALL).lnk" "$INSTDIR\uninstall.exe"
    WriteRegStr HKLM "${KEY}" "DisplayName" "Jinsuo (金锁) ${VERSION}"
    WriteRegStr HKLM "${KEY}" "DisplayVersion" "${VERSION}"
    WriteRegStr HKLM "${KEY}" "InstallLocation" "$INSTDIR"
    WriteRegStr HKLM "${KEY}" "UninstallString" '"$INSTDIR\uninstall.exe"'
    WriteRegStr HKLM "${KEY}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
    WriteRegDWORD HKLM "${KEY}" "NoModify" 1
    WriteRegDWORD HKLM "${KEY}" "NoRepair" 1
SectionEnd

Section "Uninstall"
    SetShellVarContext all
    !insertmacro Agent 'service uninstall'
    !insertmacro RemoveProgram
    RMDir /r "$INSTDIR\docs"
    Delete "$INSTDIR\jinsuo-agent.cmd"
    Delete "$INSTDIR\jinsuo-verify.cmd"
    Delete "$INSTDIR\LICENSE.txt"
    Delete "$INSTDIR\setup-error.txt"
    Delete "$INSTDIR\uninstall.exe"
    RMDir "$INSTDIR"
    RMDir /r "$SMPROGRAMS\Jinsuo"
    DeleteRegKey HKLM "${KEY}"
    DetailPrint "$(KEPT) $APPDATA\Jinsuo\agent"
SectionEnd
