// inject waits, for exactly as long as it is told, where a cold start can be slow, and stamps when it began and ended to
// do so on CLOCK_MONOTONIC. By the name it is called:
//
//	inject           a server on port 8080: waits before it listens, and once more before it answers
//	inject-RUNTIME   an OCI runtime: waits before "create" and before "start", then becomes the real one
//	unpigz           a decompressor: waits before the first byte, then becomes the real one
//
// As a server it is told by INJECT_APP_START_NS and INJECT_RESPOND_NS, and stamps into the file INJECT_STAMPS names.
// Otherwise inject.json beside the executable tells: {"stamps": FILE, "real": {NAME: PATH}, "delay_ns": {PHASE: NS}}.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const address = ":8080"

type settings struct {
	Stamps  string            `json:"stamps"`
	Real    map[string]string `json:"real"`
	DelayNs map[string]int64  `json:"delay_ns"`
}

func main() {
	var err error
	if name := filepath.Base(os.Args[0]); name == "inject" {
		err = serve()
	} else {
		err = become(name)
	}
	fmt.Fprintln(os.Stderr, "inject:", err)
	os.Exit(1)
}

func serve() error {
	stamps := os.Getenv("INJECT_STAMPS")
	if err := wait("app_start", number("INJECT_APP_START_NS"), stamps); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if err := wait("respond", number("INJECT_RESPOND_NS"), stamps); err != nil {
		return err
	}
	fmt.Println("listening on", address)
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"message":"hello"}`)
	}))
}

func become(name string) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(filepath.Dir(executable), "inject.json"))
	if err != nil {
		return err
	}
	var told settings
	if err := json.Unmarshal(content, &told); err != nil {
		return err
	}
	if phase := phaseOf(name); phase != "" {
		if err := wait(phase, told.DelayNs[phase], told.Stamps); err != nil {
			return err
		}
	}
	return syscall.Exec(told.Real[name], os.Args, os.Environ())
}

// phaseOf tells which phase a call belongs to; other calls of a runtime (state, kill, delete) are in none.
func phaseOf(name string) string {
	if !strings.HasPrefix(name, "inject-") {
		return "unpack"
	}
	for _, argument := range os.Args[1:] {
		if argument == "create" || argument == "start" {
			return "runtime_" + argument
		}
	}
	return ""
}

func wait(phase string, delayNs int64, stamps string) error {
	if delayNs <= 0 {
		return nil
	}
	begin := monotonicNs()
	time.Sleep(time.Duration(delayNs))
	end := monotonicNs()
	file, err := os.OpenFile(stamps, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = fmt.Fprintf(file, `{"phase":%q,"start_ns":%d,"end_ns":%d}`+"\n", phase, begin, end)
	return err
}

func number(name string) int64 {
	value, _ := strconv.ParseInt(os.Getenv(name), 10, 64)
	return value
}

// monotonicNs reads the clock that the kernel's trace is kept on; Go's own monotonic time has another origin.
func monotonicNs() int64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}
