"""Look at a built page in headless Chromium, as a reader's browser would show it.

`look(folder, 'page.html')` serves the folder on this machine alone, opens the page and reports what is on it."""
import contextlib, functools, json, queue, re, shutil, subprocess, tempfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

MAC = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
FLAGS = ['--headless', '--remote-debugging-port=0', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update',
         '--disable-sync', '--disable-extensions', '--no-first-run', '--no-default-browser-check', '--window-size=1280,1000']

PROBE = '''<script>
(() => {
  const errors = [];
  addEventListener('error', e => errors.push(e.message || 'not loaded: ' + (e.target.src || e.target.href)), true);
  addEventListener('unhandledrejection', e => errors.push(String(e.reason)));
  addEventListener('load', async () => {
    try { if (window.MathJax && MathJax.startup) await MathJax.startup.promise; } catch (e) { errors.push(String(e)); }
    for (const img of document.images) { img.loading = 'eager'; if (!img.complete) await img.decode().catch(() => {}); }
    const seen = performance.getEntriesByType('resource').map(r => r.name);
    const report = {
      title: document.title,
      text: document.body.innerText,
      ids: [...document.querySelectorAll('[id]')].map(e => e.id),
      images: [...document.images].map(i => ({src: i.getAttribute('src').slice(0, 80), width: i.naturalWidth})),
      equations: document.querySelectorAll('mjx-container').length,
      bad_equations: [...document.querySelectorAll('.math:not(:has(mjx-container)), mjx-merror, mjx-container :is([mathcolor=red], [style*="color: red"])')]
        .map(e => e.getAttribute('data-mjx-error') || e.textContent),
      wider_than_window: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      elsewhere: seen.filter(u => !u.startsWith(location.origin) && !u.startsWith('data:')),
      errors,
    };
    fetch('/probe', {method: 'POST', body: JSON.stringify(report)});
  });
})();
</script>'''


def browser():
    "Path of a Chromium or Chrome on this machine, or None"
    found = [p for n in ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable') if (p := shutil.which(n))]
    return found[0] if found else MAC if Path(MAC).exists() else None


class Probed(SimpleHTTPRequestHandler):
    "Serves a folder, with `PROBE` put into each page, and takes the report that `PROBE` sends back"
    def log_message(self, *args): pass

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.suffix != '.html' or not path.exists(): return super().do_GET()
        source = path.read_text(encoding='utf-8').replace("default-src 'none'", "default-src 'none'; connect-src 'self'")   # lets the probe report
        page = re.sub(r'(<head[^>]*>|^)', lambda m: m[0] + PROBE, source, count=1)
        self.answer(page.encode(), 'text/html; charset=utf-8')

    def do_POST(self):
        self.server.reports.put(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
        self.answer(b'', 'text/plain')


@contextlib.contextmanager
def served(folder):
    "A server from which this machine, and no other, can read `folder`"
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Probed, directory=str(folder)))
    server.reports = queue.Queue()
    Thread(target=server.serve_forever, daemon=True).start()
    try: yield server
    finally: server.shutdown(); server.server_close()


def look(folder, page, timeout=120):
    """What a reader sees of `folder/page`: a dict with `title`, `text`, `ids`, `images` (src, width; 0 = not loaded), `equations`,
    `bad_equations`, `wider_than_window` (pixels), `elsewhere` (requests that left this machine) and `errors`."""
    with served(folder) as server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        address = f'http://127.0.0.1:{server.server_port}/{page}'
        chromium = subprocess.Popen([browser(), *FLAGS, f'--user-data-dir={profile}', address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try: return server.reports.get(timeout=timeout)
        except queue.Empty: raise AssertionError(f"{page} did not finish loading within {timeout} seconds") from None
        finally: chromium.terminate(); chromium.wait()


def check(seen, equations=None):
    "What must hold for every page that we hand out"
    assert not seen['errors'], seen['errors']
    assert not seen['bad_equations'], seen['bad_equations']
    assert not seen['elsewhere'], f"the page asks other machines: {seen['elsewhere']}"
    assert all(i['width'] for i in seen['images']), [i['src'] for i in seen['images'] if not i['width']]
    assert seen['wider_than_window'] <= 0, f"{seen['wider_than_window']} pixels wider than the window"
    if equations: assert seen['equations'] >= equations, f"{seen['equations']} equations rendered, {equations} written"
