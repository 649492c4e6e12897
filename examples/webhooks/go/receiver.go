// Receiver receives webhooks of Customary and takes each event once. It needs nothing but Go's own library:
//
//	WEBHOOK_SECRET=whsec_... go run . 9000
//
// While a secret is being rotated, WEBHOOK_SECRET holds the old and the new one with a comma between.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const largestBodyBytes = 10 << 20

// --- Copy from here ---------------------------------------------------------------------------------------

const tolerance = 5 * time.Minute

// verify checks both signatures of a webhook. An error says that nobody who knows a secret sent this now, or that
// somebody changed it on the way.
//
// The body is what came, byte for byte: JSON that was read and written again has another signature.
func verify(header http.Header, body []byte, secrets []string) error {
	if err := verifySequenceSignature(header.Get("Sequence-Signature"), body, secrets); err != nil {
		return fmt.Errorf("Sequence-Signature %w", err)
	}
	if err := verifyStandardSignature(header, body, secrets); err != nil {
		return fmt.Errorf("webhook-signature %w", err)
	}
	return nil
}

// verifySequenceSignature checks t=<milliseconds>,s=<hex>, which has an s for each live secret. The key is the whole
// secret.
func verifySequenceSignature(header string, body []byte, secrets []string) error {
	var milliseconds string
	var given []string
	for _, part := range strings.Split(header, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "t":
			milliseconds = value
		case "s":
			given = append(given, value)
		}
	}
	var expected []string
	for _, secret := range secrets {
		expected = append(expected, hex.EncodeToString(digest([]byte(secret), milliseconds+".", body)))
	}
	return check(milliseconds, time.UnixMilli, expected, given)
}

// verifyStandardSignature checks v1,<base64>, of which there is one for each live secret. The key is the base64
// behind whsec_.
func verifyStandardSignature(header http.Header, body []byte, secrets []string) error {
	seconds := header.Get("webhook-timestamp")
	var expected []string
	for _, secret := range secrets {
		encoded := strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "=")
		key, err := base64.RawStdEncoding.DecodeString(encoded)
		if err != nil {
			return errors.New("cannot be checked: the secret is not whsec_ and base64")
		}
		signature := digest(key, header.Get("webhook-id")+"."+seconds+".", body)
		expected = append(expected, "v1,"+base64.StdEncoding.EncodeToString(signature))
	}
	fromSeconds := func(value int64) time.Time { return time.Unix(value, 0) }
	return check(seconds, fromSeconds, expected, strings.Fields(header.Get("webhook-signature")))
}

func digest(key []byte, prefix string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(prefix))
	mac.Write(body)
	return mac.Sum(nil)
}

// check says whether the time, which is signed too, is close to now, and any of the signatures is one of ours. A near
// miss takes as long as any other, and so gives no hints.
func check(timestamp string, from func(int64) time.Time, expected, given []string) error {
	value, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errors.New("is missing, or has no time")
	}
	if age := time.Since(from(value)); age > tolerance || age < -tolerance {
		return errors.New("is too old, or a clock is wrong")
	}
	for _, ours := range expected {
		for _, theirs := range given {
			if hmac.Equal([]byte(ours), []byte(theirs)) {
				return nil
			}
		}
	}
	return errors.New("has no signature that fits the body and the secret")
}

// --- to here ----------------------------------------------------------------------------------------------

// inbox is what was taken. Of yours make two tables, written in the transaction that does the work of an event.
type inbox struct {
	sync.Mutex
	seen     map[string]bool
	versions map[string]int64
}

// take says what to do about this: it is an event, came again, or tells something older than is known.
func (taken *inbox) take(webhookID, customerID string, version int64) string {
	taken.Lock()
	defer taken.Unlock()
	if taken.seen[webhookID] {
		return "again"
	}
	taken.seen[webhookID] = true
	if version < taken.versions[customerID] {
		return "older"
	}
	taken.versions[customerID] = version
	return "event"
}

type receiver struct {
	secrets []string
	inbox   inbox
}

// ServeHTTP answers 204 for what was taken, now or before, and 401 for what is not genuine.
func (to *receiver) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		writer.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, largestBodyBytes))
	if err != nil {
		writer.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err := verify(request.Header, body, to.secrets); err != nil {
		fmt.Println("refused:", err)
		http.Error(writer, err.Error(), http.StatusUnauthorized) // Customary's log of the attempt shows it
		return
	}
	if err := to.take(request.Header, body); err != nil {
		writer.WriteHeader(http.StatusInternalServerError) // whoever sent it tries again
		return
	}
	writer.WriteHeader(http.StatusNoContent)
}

// take does what is to be done about an event: here, it prints a line.
func (to *receiver) take(header http.Header, body []byte) error {
	var event struct {
		NotificationType string `json:"notificationType"`
		ResourceID       string `json:"resourceId"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return err
	}
	webhookID := header.Get("webhook-id")
	if header.Get("Customary-Resource-Version") == "" {
		fmt.Println("test:", event.NotificationType, webhookID) // nothing happened to anybody
		return nil
	}
	version, err := strconv.ParseInt(header.Get("Customary-Resource-Version"), 10, 64)
	if err != nil {
		return err
	}
	verdict := to.inbox.take(webhookID, event.ResourceID, version)
	fmt.Printf("%s: %s %s version %d %s\n", verdict, event.NotificationType, event.ResourceID, version, webhookID)
	return nil
}

// secrets reads those of the environment; none if one of them is not as Customary makes them.
func secrets() []string {
	var found []string
	for _, part := range strings.Split(os.Getenv("WEBHOOK_SECRET"), ",") {
		secret := strings.TrimSpace(part)
		if !strings.HasPrefix(secret, "whsec_") {
			return nil
		}
		found = append(found, secret)
	}
	return found
}

func main() {
	given := secrets()
	if len(os.Args) != 2 || len(given) == 0 {
		fmt.Fprintln(os.Stderr, "Use: WEBHOOK_SECRET=whsec_...[,whsec_...] go run . PORT")
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("Listening on http://" + listener.Addr().String())
	handler := &receiver{secrets: given, inbox: inbox{seen: map[string]bool{}, versions: map[string]int64{}}}
	server := &http.Server{Handler: handler, ReadTimeout: 15 * time.Second}
	fmt.Fprintln(os.Stderr, server.Serve(listener))
	os.Exit(1)
}
