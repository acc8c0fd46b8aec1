// inject waits, for exactly as long as it is told, where a cold start can be slow, and stamps when it began and ended to
// do so on CLOCK_MONOTONIC. By the name it is called:
//
//	inject           a server on port 8080: waits before it listens, and before it answers its first caller
//	inject check     a command: ends with 0 if such a server answers in the same container
//	inject-RUNTIME   an OCI runtime: waits before "create" and before "start", then becomes the real one
//	unpigz           a decompressor: runs the real one, then waits before it lets its output end
//
// As a server it is told by INJECT_APP_START_NS, INJECT_RESPOND_NS and INJECT_SETTLE_NS, and stamps into the file
// INJECT_STAMPS names; once it listens it writes the line INJECT_SAYS, if there is one. Otherwise inject.conf beside the executable tells, a line each: "stamps FILE", "real NAME PATH",
// "delay PHASE NS", "settle NS".
//
// Told of no delay, it still waits for as long as settling takes, and with a delay that much longer: what follows a
// wait finds an idler machine than what follows none, which would show as an effect of the delay.
//
// It imports little, since what it takes to begin is time between a phase's beginning and its stamp.
package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	port      = 8080
	backlog   = 128
	clockMono = 1 // CLOCK_MONOTONIC, linux/time.h
)

var begunNs = monotonicNs()

type settings struct {
	stamps string
	real   string
	delay  map[string]int64
	settle int64
}

type stamp struct {
	phase      string
	begin, end int64
}

func main() {
	var err error
	switch name := filepath.Base(os.Args[0]); {
	case name == "inject" && len(os.Args) > 1 && os.Args[1] == "check":
		err = check()
	case name == "inject":
		err = serve()
	case strings.HasPrefix(name, "inject-"):
		err = become(name)
	default:
		err = decompress(name)
	}
	os.Stderr.WriteString("inject: " + err.Error() + "\n")
	os.Exit(1)
}

func serve() error {
	stamps := os.Getenv("INJECT_STAMPS")
	listener, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	syscall.SetsockoptInt(listener, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(listener, &syscall.SockaddrInet4{Port: port}); err != nil {
		return err
	}
	settleNs := number(os.Getenv("INJECT_SETTLE_NS"))
	settle(settleNs)
	waited := wait("app_start", number(os.Getenv("INJECT_APP_START_NS")), monotonicNs())
	if err := syscall.Listen(listener, backlog); err != nil {
		return err
	}
	if line := os.Getenv("INJECT_SAYS"); line != "" {
		os.Stdout.WriteString(line + "\n")
	}
	write(waited, stamps) // only now: writing takes time, too
	respondNs := number(os.Getenv("INJECT_RESPOND_NS"))
	for {
		caller, _, err := syscall.Accept(listener)
		if err != nil {
			return err
		}
		settle(settleNs)
		waited = wait("respond", respondNs, monotonicNs())
		respondNs, settleNs = 0, 0
		answer(caller)
		write(waited, stamps)
	}
}

// check asks the server once, over the container's own loopback interface.
func check() error {
	connection, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.Connect(connection, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if _, err := syscall.Write(connection, []byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		return err
	}
	if read, err := syscall.Read(connection, make([]byte, 64)); err != nil || read == 0 {
		return syscall.ECONNRESET
	}
	os.Exit(0)
	return nil
}

func answer(caller int) {
	request := make([]byte, 4096)
	syscall.Read(caller, request)
	syscall.Write(caller, []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"))
	syscall.Close(caller)
}

func become(name string) error {
	told, err := read(name)
	if err != nil {
		return err
	}
	for _, argument := range os.Args[1:] {
		if argument == "create" || argument == "start" { // not for state, kill or delete
			phase := "runtime_" + argument
			waited := wait(phase, told.delay[phase], begunNs)
			settled := monotonicNs() + told.settle // writing is part of it
			if err := write(waited, told.stamps); err != nil {
				return err
			}
			settle(settled - monotonicNs())
			break
		}
	}
	return syscall.Exec(told.real, os.Args, os.Environ())
}

func decompress(name string) error {
	told, err := read(name)
	if err != nil {
		return err
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	child, err := os.StartProcess(told.real, os.Args, &os.ProcAttr{Files: files})
	if err != nil {
		return err
	}
	state, err := child.Wait()
	if err != nil {
		return err
	}
	settle(told.settle)
	waited := wait("unpack", told.delay["unpack"], monotonicNs())
	os.Stdout.Close()
	if err := write(waited, told.stamps); err != nil {
		return err
	}
	os.Exit(state.ExitCode())
	return nil
}

func read(name string) (settings, error) {
	told := settings{delay: map[string]int64{}}
	executable, err := os.Executable()
	if err != nil {
		return told, err
	}
	content, err := os.ReadFile(filepath.Join(filepath.Dir(executable), "inject.conf"))
	if err != nil {
		return told, err
	}
	for _, line := range strings.Split(string(content), "\n") {
		words := strings.SplitN(line, " ", 3)
		switch {
		case words[0] == "stamps" && len(words) == 2:
			told.stamps = words[1]
		case words[0] == "real" && len(words) == 3 && words[1] == name:
			told.real = words[2]
		case words[0] == "delay" && len(words) == 3:
			told.delay[words[1]] = number(words[2])
		case words[0] == "settle" && len(words) == 2:
			told.settle = number(words[1])
		}
	}
	return told, nil
}

// wait lets delayNs pass since begin; nothing to wait for is nothing to stamp.
func wait(phase string, delayNs int64, begin int64) *stamp {
	if delayNs <= 0 {
		return nil
	}
	time.Sleep(time.Duration(begin + delayNs - monotonicNs()))
	return &stamp{phase, begin, monotonicNs()}
}

func settle(forNs int64) {
	time.Sleep(time.Duration(forNs))
}

func write(waited *stamp, path string) error {
	if waited == nil {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(`{"phase":"` + waited.phase + `","start_ns":` + strconv.FormatInt(waited.begin, 10) +
		`,"end_ns":` + strconv.FormatInt(waited.end, 10) + "}\n")
	return err
}

func number(text string) int64 {
	value, _ := strconv.ParseInt(text, 10, 64)
	return value
}

// monotonicNs reads the clock that the kernel's trace is kept on; Go's own monotonic time has another origin.
func monotonicNs() int64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMono, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}
