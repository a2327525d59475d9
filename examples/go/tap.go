// A shop's events, a line of JSON each, and none missed. go run . -token TOKEN; needs libzmq's headers (libzmq3-dev).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/vmihailenco/msgpack/v5"
)

var (
	events  = flag.String("events", "tcp://127.0.0.1:5556", "the PUB socket")
	topic   = flag.String("topic", "order.", "beginning of the topics wanted")
	gateway = flag.String("url", "http://127.0.0.1:8080", "the gateway, to ask for what was missed")
	token   = flag.String("token", "", "an administrator's access token")
	after   = flag.Int64("after", -1, "begin behind this seq instead of now")
	keys    = flag.String("keys", "", "folder with broker.public and KEY.secret, where the socket asks for CURVE")
	key     = flag.String("key", "tap", "name of our key in it")
)

type event struct {
	Seq     int64  `json:"seq" msgpack:"seq"`
	Type    string `json:"type" msgpack:"type"`
	ID      string `json:"id" msgpack:"id"`
	Subject string `json:"subject" msgpack:"subject"`
	Epoch   int64  `json:"-" msgpack:"epoch"`
	Tseq    int64  `json:"-" msgpack:"tseq"`
}

type position struct {
	Topic string `msgpack:"topic"`
	Tseq  int64  `msgpack:"tseq"`
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func keyIn(name, half string) string {
	found := regexp.MustCompile(`(?m)^` + half + ` (\S+)$`).FindSubmatch(must(os.ReadFile(filepath.Join(*keys, name))))
	if found == nil {
		must(0, fmt.Errorf("%s has no %s key", name, half))
	}
	return string(found[1])
}

func connect() *zmq4.Socket {
	tap := must(zmq4.NewSocket(zmq4.SUB))
	if *keys != "" {
		must(0, tap.ClientAuthCurve(keyIn("broker.public", "public"), keyIn(*key+".secret", "public"), keyIn(*key+".secret", "secret")))
	}
	must(0, tap.SetLinger(0))
	must(0, tap.SetRcvtimeo(3500*time.Millisecond))
	must(0, tap.SetSubscribe(*topic))
	must(0, tap.SetSubscribe("_head."))
	must(0, tap.Connect(*events))
	return tap
}

var whole, epoch int64         // nothing is missing up to whole
var seen = map[string]int64{}  // the newest tseq by topic
var shown = map[string]int64{} // the newest seq by type

// A loss shows by topic: what was lost of one may come behind what is newer of another, so each has a position.
func show(e event) {
	position, known := shown[e.Type]
	if !known {
		position = whole
	}
	if e.Seq > position {
		fmt.Println(string(must(json.Marshal(e))))
		shown[e.Type] = e.Seq
	}
}

type page struct {
	Data    []event `json:"data"`
	HasMore bool    `json:"has_more"`
	Head    int64   `json:"head"`
	Detail  string  `json:"detail"`
}

func ask(after int64) page {
	where := fmt.Sprintf("%s/api/events?limit=100&after=%d&types=%s*", *gateway, after, strings.TrimSuffix(*topic, "."))
	request := must(http.NewRequest("GET", where, nil))
	request.Header.Set("Authorization", "Bearer "+*token)
	for {
		answer, err := http.DefaultClient.Do(request)
		if err != nil || answer.StatusCode >= 500 { // nobody is there just now
			time.Sleep(time.Second)
			continue
		}
		var found page
		must(0, json.NewDecoder(answer.Body).Decode(&found))
		answer.Body.Close()
		if answer.StatusCode == http.StatusGone {
			fmt.Fprintf(os.Stderr, "the log has nothing left between %d and %d\n", after, found.Head)
		} else if answer.StatusCode != http.StatusOK {
			must(0, fmt.Errorf("%s %s", answer.Status, found.Detail))
		}
		return found
	}
}

// Shows what the log has behind the last position up to which nothing was missing.
func replay() {
	after := whole
	for more := true; more; {
		found := ask(after)
		for _, e := range found.Data {
			show(e)
		}
		more = found.HasMore
		after = found.Head
		if more {
			after = found.Data[len(found.Data)-1].Seq
		}
	}
	whole = max(whole, after)
}

func take(topicName string, meta event, payload []byte) {
	told, step := []position{{topicName, meta.Tseq}}, int64(1)
	if topicName == "_head." {
		var head struct {
			Topics []position `msgpack:"topics"`
		}
		must(0, msgpack.Unmarshal(payload, &head))
		told, step = head.Topics, 0
	}
	missed := false
	for _, t := range told {
		missed = missed || strings.HasPrefix(t.Topic, *topic) && t.Tseq > seen[t.Topic]+step
	}
	if meta.Epoch != epoch { // the first message, or a log that was restored
		missed = epoch > 0 || *after >= 0
		if whole < 0 {
			whole = meta.Seq - step
		}
		epoch, seen = meta.Epoch, map[string]int64{}
	}
	if missed {
		replay()
	}
	for _, t := range told {
		seen[t.Topic] = max(t.Tseq, seen[t.Topic])
	}
	if step == 1 {
		show(meta)
	} else { // a beacon follows what it tells of: store this position, not the newest seq
		whole = max(whole, meta.Seq)
	}
}

func main() {
	flag.Parse()
	whole = *after
	for tap := connect(); ; {
		frames, err := tap.RecvMessageBytes(0)
		if err != nil { // a beacon comes each second: nobody is there, or the line is dead without having said so
			tap.Close()
			tap = connect()
			continue
		}
		var meta event
		must(0, msgpack.Unmarshal(frames[1], &meta))
		take(string(frames[0]), meta, frames[2])
	}
}
