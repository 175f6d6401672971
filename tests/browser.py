"""Look at built pages in headless Chromium, as a reader's browser would show them.

`look(folder, 'page.html')` serves the folder on this machine alone, opens the page in a tab and reports what is on it. One browser
serves a whole run; `close()` ends it. It is spoken to in the DevTools protocol over two pipes: messages of JSON that end with a zero."""
import contextlib, fcntl, functools, itertools, json, os, select, shutil, signal, tempfile, time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

MAC = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
FLAGS = ['--headless', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update',
         '--disable-sync', '--disable-extensions', '--no-first-run', '--no-default-browser-check']
DESK, TELEPHONE = (1280, 1000), (390, 844)

LISTEN = '''window.errors_seen = [];
addEventListener('error', e => errors_seen.push(e.message || 'not loaded: ' + (e.target.src || e.target.href)), true);
addEventListener('unhandledrejection', e => errors_seen.push(String(e.reason)));'''

PROBE = '''(async () => {
  try { if (window.MathJax && MathJax.startup) await MathJax.startup.promise; } catch (e) { errors_seen.push(String(e)); }
  for (const img of document.images) { img.loading = 'eager'; if (!img.complete) await img.decode().catch(() => {}); }
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(x => x/255).map(x => x <= .04045 ? x/12.92 : ((x + .055)/1.055)**2.4); return .2126*r + .7152*g + .0722*b; };
  const ground = e => { while (e && /(, 0\\)|transparent)$/.test(getComputedStyle(e).backgroundColor)) e = e.parentElement; return e ? getComputedStyle(e).backgroundColor : 'rgb(255, 255, 255)'; };
  const contrast = e => { const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x); return (a + .05)/(b + .05); };
  const kinds = {};
  for (const e of document.querySelectorAll('.highlight span[class]')) if (e.textContent.trim()) kinds[e.className] ??= contrast(e);
  const shows = e => e.getClientRects().length && getComputedStyle(e).visibility !== 'hidden';
  return {
    title: document.title,
    text: document.body.innerText,
    ids: [...document.querySelectorAll('[id]')].map(e => e.id),
    images: [...document.images].map(i => ({src: i.getAttribute('src').slice(0, 80), width: i.naturalWidth})),
    equations: document.querySelectorAll('mjx-container').length,
    bad_equations: [...document.querySelectorAll('.math:not(:has(mjx-container)), mjx-merror, mjx-container :is([mathcolor=red], [style*="color: red"])')]
      .map(e => e.getAttribute('data-mjx-error') || e.textContent),
    first_code: [...document.querySelectorAll('article pre')].find(shows)?.innerText ?? '',
    pale_code: Object.fromEntries(Object.entries(kinds).filter(([k, c]) => c < 4.5)),
    elsewhere: performance.getEntriesByType('resource').map(r => r.name).filter(u => !u.startsWith(location.origin) && !u.startsWith('data:')),
    errors: errors_seen,
  };
})()'''
TOO_WIDE = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'


def browser():
    "Path of a Chromium or Chrome on this machine, or None"
    found = [p for n in ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable') if (p := shutil.which(n))]
    return found[0] if found else MAC if Path(MAC).exists() else None


class Chromium:
    "A headless browser: `call` a method of the protocol, `wait` for an event"
    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.ids, self.rest, self.events = itertools.count(1), b'', []
        (theirs_in, self.write), (self.read, theirs_out) = ([self._high(fd) for fd in os.pipe()] for _ in range(2))
        hush = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        pipes = [(os.POSIX_SPAWN_DUP2, theirs_in, 3), (os.POSIX_SPAWN_DUP2, theirs_out, 4)]
        self.pid = os.posix_spawn(browser(), [browser(), *FLAGS, f'--user-data-dir={self.profile.name}'], os.environ, file_actions=hush + pipes, setpgroup=0)
        for fd in (theirs_in, theirs_out): os.close(fd)

    @staticmethod
    def _high(fd):
        "The same pipe under a number that is not 3 or 4"
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(fd)
        return high

    def _message(self, until):
        while b'\0' not in self.rest:
            if not select.select([self.read], [], [], max(0, until - time.monotonic()))[0]: raise TimeoutError
            if not (more := os.read(self.read, 1 << 20)): raise EOFError("the browser has ended")
            self.rest += more
        message, _, self.rest = self.rest.partition(b'\0')
        return json.loads(message)

    def call(self, method, until, session=None, **params):
        number = next(self.ids)
        message = dict(id=number, method=method, params=params) | ({'sessionId': session} if session else {})
        todo = json.dumps(message).encode() + b'\0'
        while todo: todo = todo[os.write(self.write, todo):]
        while (answer := self._message(until)).get('id') != number: self.events.append(answer)
        assert 'error' not in answer, f"{method}: {answer['error']}"
        return answer['result']

    def wait(self, event, until, session):
        while True:
            seen, self.events = self.events, []
            if any(e.get('method') == event and e.get('sessionId') == session for e in seen): return
            self.events.append(self._message(until))

    def close(self):
        with contextlib.suppress(ProcessLookupError): os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for fd in (self.read, self.write): os.close(fd)
        self.profile.cleanup()


@functools.cache
def chromium(): return Chromium()

def close():
    "End the browser, if one was started"
    if chromium.cache_info().currsize: chromium().close()
    chromium.cache_clear()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@contextlib.contextmanager
def served(folder):
    "The address of a server from which this machine, and no other, can read `folder`"
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True, args=(.05,)).start()
    try: yield f'http://127.0.0.1:{server.server_port}'
    finally: server.shutdown(); server.server_close()


def look(folder, page, timeout=120):
    """What a reader sees of `folder/page`: a dict with `title`, `text`, `ids`, `images` (src, width; 0 = not loaded), `equations`,
    `bad_equations`, `first_code`, `pale_code` (contrast by class, where below 4.5), `wider_than_window` and `wider_than_telephone`
    (pixels), `elsewhere` (requests that left this machine) and `errors`."""
    until = time.monotonic() + timeout
    with served(folder) as address:
        try:
            tab = chromium().call('Target.createTarget', until, url='about:blank')['targetId']
            session = chromium().call('Target.attachToTarget', until, targetId=tab, flatten=True)['sessionId']
            call = functools.partial(chromium().call, until=until, session=session)
            def resize(size): call('Emulation.setDeviceMetricsOverride', width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
            def ask(script):
                answer = call('Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True)
                assert 'exceptionDetails' not in answer, answer['exceptionDetails']
                return answer['result']['value']
            call('Page.enable')
            call('Page.addScriptToEvaluateOnNewDocument', source=LISTEN)
            resize(DESK)
            call('Page.navigate', url=f'{address}/{page}')
            chromium().wait('Page.loadEventFired', until, session)
            seen = ask(PROBE) | dict(wider_than_window=ask(TOO_WIDE))
            resize(TELEPHONE)
            seen['wider_than_telephone'] = ask(TOO_WIDE)
            chromium().call('Target.closeTarget', until, targetId=tab)
            return seen
        except TimeoutError: raise AssertionError(f"{page} did not finish loading within {timeout} seconds") from None
        except (EOFError, BrokenPipeError): close(); raise AssertionError(f"the browser ended while it showed {page}") from None


def check(seen, equations=None):
    "What must hold for every page that we hand out"
    assert not seen['errors'], seen['errors']
    assert not seen['bad_equations'], seen['bad_equations']
    assert not seen['elsewhere'], f"the page asks other machines: {seen['elsewhere']}"
    assert all(i['width'] for i in seen['images']), [i['src'] for i in seen['images'] if not i['width']]
    assert seen['wider_than_window'] <= 0, f"{seen['wider_than_window']} pixels wider than the window"
    assert not seen['pale_code'], f"hard to read in code, contrast below 4.5: {seen['pale_code']}"
    if equations: assert seen['equations'] >= equations, f"{seen['equations']} equations rendered, {equations} written"
