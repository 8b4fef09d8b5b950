// A peer: the hub that nearly every gorilla/websocket tutorial arrives at. One goroutine owns each
// channel's set of clients and takes register, unregister and broadcast from Go channels; every
// client has a queue, a goroutine that reads and one that writes; a mutex guards the index of users.
//
//	gorilla-hub PORT
package main

import (
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	queueMax     = 256
	writeTimeout = 10 * time.Second
	pongTimeout  = 60 * time.Second
	pingInterval = 54 * time.Second
)

var upgrader = websocket.Upgrader{
	ReadBufferSize:  1024,
	WriteBufferSize: 1024,
	CheckOrigin:     func(*http.Request) bool { return true },
}

type message struct {
	kind int
	data []byte
}

type client struct {
	hub  *hub
	conn *websocket.Conn
	user string
	send chan message
}

type hub struct {
	clients    map[*client]bool
	register   chan *client
	unregister chan *client
	broadcast  chan message
}

func newHub() *hub {
	h := &hub{
		clients:    make(map[*client]bool),
		register:   make(chan *client),
		unregister: make(chan *client),
		broadcast:  make(chan message),
	}
	go h.run()
	return h
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.register:
			h.clients[c] = true
		case c := <-h.unregister:
			h.drop(c)
		case m := <-h.broadcast:
			for c := range h.clients {
				select {
				case c.send <- m:
				default:
					h.drop(c)
				}
			}
		}
	}
}

func (h *hub) drop(c *client) {
	if h.clients[c] {
		delete(h.clients, c)
		close(c.send)
	}
}

// Hubs by channel, clients by user.
type index struct {
	mutex sync.RWMutex
	hubs  map[string]*hub
	users map[string]map[*client]bool
}

func (i *index) hub(name string) *hub {
	i.mutex.RLock()
	h := i.hubs[name]
	i.mutex.RUnlock()
	if h != nil {
		return h
	}
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if i.hubs[name] == nil {
		i.hubs[name] = newHub()
	}
	return i.hubs[name]
}

func (i *index) add(c *client) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if i.users[c.user] == nil {
		i.users[c.user] = make(map[*client]bool)
	}
	i.users[c.user][c] = true
}

func (i *index) remove(c *client) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	delete(i.users[c.user], c)
	if len(i.users[c.user]) == 0 {
		delete(i.users, c.user)
	}
}

func (c *client) readPump(i *index) {
	defer func() {
		c.hub.unregister <- c
		i.remove(c)
		c.conn.Close()
	}()
	c.conn.SetReadLimit(64 << 10)
	c.conn.SetReadDeadline(time.Now().Add(pongTimeout))
	c.conn.SetPongHandler(func(string) error {
		return c.conn.SetReadDeadline(time.Now().Add(pongTimeout))
	})
	for {
		if _, _, err := c.conn.ReadMessage(); err != nil {
			return
		}
	}
}

func (c *client) writePump() {
	ping := time.NewTicker(pingInterval)
	defer func() {
		ping.Stop()
		c.conn.Close()
	}()
	for {
		select {
		case m, open := <-c.send:
			c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if !open {
				c.conn.WriteMessage(websocket.CloseMessage, nil)
				return
			}
			if c.conn.WriteMessage(m.kind, m.data) != nil {
				return
			}
		case <-ping.C:
			c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if c.conn.WriteMessage(websocket.PingMessage, nil) != nil {
				return
			}
		}
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("gorilla-hub PORT")
	}
	all := &index{hubs: make(map[string]*hub), users: make(map[string]map[*client]bool)}
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		h := all.hub(r.FormValue("channel"))
		c := &client{hub: h, conn: conn, user: r.RemoteAddr, send: make(chan message, queueMax)}
		all.add(c)
		h.register <- c
		go c.writePump()
		go c.readPump(all)
	})
	http.HandleFunc("/pub", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		h := all.hub(r.FormValue("channel"))
		for {
			kind, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			h.broadcast <- message{kind, data}
		}
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
