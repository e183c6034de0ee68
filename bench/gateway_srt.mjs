// The proxy of @anthropic-ai/sandbox-runtime: alone, or as it is deployed, behind the two socat processes that carry a
// connection out of the sandbox (their words are those of `initializeLinuxNetworkBridge` and `buildSandboxCommand`).
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
const [module, socat, port] = process.argv.slice(2)
const { createHttpProxyServer } = await import(module)
const server = createHttpProxyServer({ filter: (port, host) => host === 'localhost' })
server.listen(0, '127.0.0.1', async () => {
  const own = server.address().port
  if (socat === undefined) return console.log(own)
  const path = join(mkdtempSync(join(process.env.TMPDIR ?? '/var/tmp', 'srt-')), 'http.sock')
  const run = (...words) => spawn(socat, words, { stdio: 'ignore' })
  run(`UNIX-LISTEN:${path},fork,reuseaddr`, `TCP:localhost:${own},keepalive,keepidle=10,keepintvl=5,keepcnt=3`)
  while (!existsSync(path)) await new Promise(done => setTimeout(done, 20))
  run(`TCP4-LISTEN:${port},fork,reuseaddr,backlog=4096`, `UNIX-CONNECT:${path}`)
  console.log(port)
})
