// One contender of bench-queue: the cycle of asynq, enqueue one by one, then process and acknowledge.
// It speaks the contenders' protocol: "ready" after a warm-up, then it waits for a line, measures, and prints one line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

var (
	socket   = flag.String("socket", "", "unix socket of the server")
	port     = flag.Int("port", 0, "or its port on this machine")
	tasks    = flag.Int("tasks", 0, "tasks to measure")
	warmUp   = flag.Int("warm-up", 0, "tasks before that")
	clients  = flag.Int("clients", 8, "clients, then workers")
	payload  = flag.Int("payload", 120, "bytes of each payload")
	retained = flag.Bool("retained", false, "keep finished tasks for a day")
)

func fail(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Each of the clients enqueues its share over a connection of its own.
func enqueue(options asynq.RedisClientOpt, phase string, count int) {
	body := []byte(strings.Repeat("x", *payload))
	var group sync.WaitGroup
	for c := 0; c < *clients; c++ {
		group.Add(1)
		go func() {
			defer group.Done()
			own := options
			own.PoolSize = 1
			client := asynq.NewClient(own)
			defer client.Close()
			for n := c; n < count; n += *clients {
				extra := []asynq.Option{asynq.TaskID(fmt.Sprintf("%s-%d", phase, n))}
				if *retained {
					extra = append(extra, asynq.Retention(24*time.Hour))
				}
				_, err := client.Enqueue(asynq.NewTask("cycle", body), extra...)
				fail(err)
			}
		}()
	}
	group.Wait()
}

// Works until all have been handled; how often each id was handled, and how long it took until the last.
func drain(options asynq.RedisClientOpt, count int) (int, int, time.Duration) {
	var lock sync.Mutex
	seen := make(map[string]int, count)
	handled := 0
	done := make(chan struct{})
	server := asynq.NewServer(options, asynq.Config{Concurrency: *clients, LogLevel: asynq.FatalLevel})
	start := time.Now()
	fail(server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		lock.Lock()
		defer lock.Unlock()
		seen[id]++
		handled++
		if handled == count {
			close(done)
		}
		return nil
	})))
	<-done
	took := time.Since(start)
	server.Shutdown()
	return handled, len(seen), took
}

func processorSeconds() float64 {
	var used syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(used.Utime) + seconds(used.Stime)
}

func main() {
	flag.Parse()
	options := asynq.RedisClientOpt{Network: "unix", Addr: *socket}
	if *port > 0 {
		options = asynq.RedisClientOpt{Addr: fmt.Sprintf("127.0.0.1:%d", *port)}
	}
	enqueue(options, "warm", *warmUp)
	drain(options, *warmUp)
	fmt.Println("ready")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	fail(err)

	before := processorSeconds()
	start := time.Now()
	enqueue(options, "task", *tasks)
	enqueued := time.Since(start)
	handled, distinct, drained := drain(options, *tasks)

	// What the server itself says: all processed, none waiting, running, failed or to be retried.
	info, err := asynq.NewInspector(options).GetQueueInfo("default")
	fail(err)
	settled := info.Processed == *tasks+*warmUp && info.Pending+info.Active+info.Retry+info.Archived+info.Scheduled == 0
	fail(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"finished": handled, "distinct": distinct, "settled": settled,
		"enqueue_seconds": enqueued.Seconds(), "drain_seconds": drained.Seconds(),
		"cpu_seconds": processorSeconds() - before,
	}))
}
