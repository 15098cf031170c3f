import { defineConfig } from "vite";

export default defineConfig({ build: { outDir: "/dist" }, esbuild: { jsx: "automatic" } });
